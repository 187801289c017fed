use super::FoundDevice;
use std::env;

/// The GPU of a Mac, which is part of its chip.
pub(super) fn found() -> Vec<FoundDevice> {
    let is_apples = env::consts::ARCH == "aarch64";
    vec![FoundDevice {
        device: is_apples.then(|| "metal:0".into()),
        name: "Graphics of this Mac".into(),
        detail: if is_apples { "shares the main memory" } else { "" }.into(),
        why_not: (!is_apples).then(|| "only the graphics of Apple's own chips can compute for models".into()),
    }]
}
