//! The demo model, which is embedded in this program: 6.8 million parameters, 13.6 MB.

use std::{fs, io, path::Path};

macro_rules! demo_files {
    ($($name:literal),* $(,)?) => {
        const DEMO_MODEL: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("../assets/demo-model/", $name)))),*];
    };
}

demo_files![
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];

/// Questions that the demo model's training never showed, with their answers: a JSON list of `kind`, `question`,
/// `answer`.
pub(crate) const HELD_OUT: &str = include_str!("../assets/held_out.json");

/// Writes the demo model into a folder.
pub(crate) fn write_demo_model(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    DEMO_MODEL.iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}
