//! One target of [`gogrid_fuzz::TARGETS`], named by `GOGRID_FUZZ_TARGET`, under libFuzzer.

#![no_main]

use gogrid_fuzz::{Target, target};
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("GOGRID_FUZZ_TARGET").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("GOGRID_FUZZ_TARGET names none of {:?}", gogrid_fuzz::names()))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.run)(data));
