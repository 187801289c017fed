//! Which files of a repository make the model.

use crate::ChooseError;
use crate::client::HubFile;
use crate::reference::is_name;
use std::collections::BTreeMap;

/// The file that names the files of weights.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// The one file of weights where there is no index.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// What of a folder is read besides the weights.
const SMALL: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    INDEX,
];
/// The weight type that is taken when several are there and none is named: four bits, of good quality.
const USUAL: &str = "Q4_K_M";

/// The files of a model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// Settings and tokenizer; the weights are in [`WEIGHTS`] or in what [`INDEX`] names.
    Folder(Vec<HubFile>),
    /// One GGUF file, or all parts of one in their order.
    Gguf(Vec<HubFile>),
}

/// Chooses by what is there and what was asked for: a file's path, or a weight type in its name.
pub(crate) fn choose(files: &[HubFile], pick: Option<&str>) -> Result<Chosen, ChooseError> {
    let there = |path: &str| files.iter().find(|file| file.path == path);
    if pick.is_none() && there("config.json").is_some() && (there(WEIGHTS).or(there(INDEX))).is_some() {
        return Ok(Chosen::Folder(SMALL.into_iter().filter_map(there).cloned().collect()));
    }
    let models = models(files)?;
    if models.is_empty() {
        return Err(ChooseError::NoModel);
    }
    let names = || models.keys().map(|name| format!("{name}.gguf")).collect::<Vec<_>>();
    let found = match pick {
        Some(path) if path.ends_with(".gguf") => {
            models.iter().filter(|(_, parts)| parts.iter().any(|part| part.path == path)).collect::<Vec<_>>()
        }
        Some(quant) => models.iter().filter(|(name, _)| has_type(name, quant)).collect(),
        None if models.len() == 1 => models.iter().collect(),
        None => models.iter().filter(|(name, _)| has_type(name, USUAL)).collect(),
    };
    match (found.as_slice(), pick) {
        ([(name, parts)], _) => {
            whole(name, parts)?;
            Ok(Chosen::Gguf((*parts).clone()))
        }
        ([], Some(pick)) => Err(ChooseError::NotThere { pick: pick.to_owned(), there: names() }),
        _ => Err(ChooseError::Several(names())),
    }
}

/// The GGUF models by their names without ending and part, each with its files in order. Vision projectors and
/// importance matrices are no models.
fn models(files: &[HubFile]) -> Result<BTreeMap<String, Vec<HubFile>>, ChooseError> {
    let mut models: BTreeMap<String, Vec<HubFile>> = BTreeMap::new();
    for file in files {
        let Some(name) = file.path.strip_suffix(".gguf") else { continue };
        let short = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        if short.contains("mmproj") || short.contains("imatrix") {
            continue;
        }
        if !file.path.split('/').all(is_name) {
            return Err(ChooseError::Name(file.path.clone()));
        }
        let model = part(name).map_or(name, |(model, ..)| model);
        models.entry(model.to_owned()).or_default().push(file.clone());
    }
    for parts in models.values_mut() {
        parts.sort_by(|a, b| a.path.cmp(&b.path));
    }
    Ok(models)
}

/// Of `NAME-00002-of-00003`: the name, 2 and 3.
pub(crate) fn part(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, of) = name.rsplit_once("-of-")?;
    let (model, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| (digits.len() == 5).then(|| digits.parse().ok()).flatten();
    Some((model, number(part)?, number(of)?))
}

fn whole(model: &str, parts: &[HubFile]) -> Result<(), ChooseError> {
    let of = parts.first().and_then(|file| part(file.path.strip_suffix(".gguf")?)).map_or(1, |(.., of)| of);
    if parts.len() == of {
        return Ok(());
    }
    Err(ChooseError::Parts { file: format!("{model}.gguf"), there: parts.len(), of })
}

/// Whether a file's name has this weight type as a word of its own. Types contain underscores, so that one may stand
/// before a type but not behind it: `Q4_K` is not in `a-Q4_K_M`.
fn has_type(name: &str, quant: &str) -> bool {
    let (name, quant) = (name.to_ascii_lowercase(), quant.to_ascii_lowercase());
    name.match_indices(&quant).any(|(at, found)| {
        let before = name[..at].chars().next_back();
        let after = name[at + found.len()..].chars().next();
        before.is_none_or(|c| !c.is_ascii_alphanumeric())
            && after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn files(paths: &[&str]) -> Vec<HubFile> {
        paths.iter().map(|path| HubFile { path: (*path).to_owned(), bytes: 1, sha256: None }).collect()
    }

    fn chosen(paths: &[&str], pick: Option<&str>) -> Result<Vec<String>, ChooseError> {
        choose(&files(paths), pick).map(|chosen| {
            let (Chosen::Folder(files) | Chosen::Gguf(files)) = chosen;
            files.into_iter().map(|file| file.path).collect()
        })
    }

    const SEVERAL: [&str; 5] =
        ["a-Q4_K_M.gguf", "a-Q4_K_S.gguf", "a-q8_0-00002-of-00002.gguf", "a-q8_0-00001-of-00002.gguf", "mmproj-a.gguf"];

    #[rstest]
    #[case(&["config.json", "model.safetensors", "tokenizer.json", "README.md", "onnx/model.onnx", "a.gguf"], None,
        &["config.json", "tokenizer.json"])]
    #[case(&["config.json", INDEX, "model-00001-of-00002.safetensors", "consolidated.safetensors"], None,
        &["config.json", INDEX])]
    #[case(&["a.gguf", "mmproj-f16.gguf", "imatrix.gguf"], None, &["a.gguf"])]
    #[case(&SEVERAL, None, &["a-Q4_K_M.gguf"])]
    #[case(&SEVERAL, Some("q4_k_s"), &["a-Q4_K_S.gguf"])]
    #[case(&SEVERAL, Some("Q8_0"), &["a-q8_0-00001-of-00002.gguf", "a-q8_0-00002-of-00002.gguf"])]
    #[case(&SEVERAL, Some("a-q8_0-00002-of-00002.gguf"), &["a-q8_0-00001-of-00002.gguf", "a-q8_0-00002-of-00002.gguf"])]
    #[case(&["config.json", "model.safetensors", "sub/a.Q8_0.gguf"], Some("Q8_0"), &["sub/a.Q8_0.gguf"])]
    fn files_are_chosen(#[case] paths: &[&str], #[case] pick: Option<&str>, #[case] expected: &[&str]) {
        assert_eq!(chosen(paths, pick).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_chosen_is_refused_with_what_is_there() {
        assert_eq!(chosen(&["pytorch_model.bin", "config.json"], None), Err(ChooseError::NoModel));
        let error = chosen(&SEVERAL, Some("Q4_K")).unwrap_err().to_string();
        assert!(error.contains("none of its GGUF files is Q4_K; it has a-Q4_K_M.gguf, a-Q4_K_S.gguf"), "{error}");
        assert!(
            matches!(chosen(&["a-Q8_0.gguf", "a-F16.gguf"], None), Err(ChooseError::Several(names)) if names.len() == 2)
        );
        assert_eq!(
            chosen(&["a-00001-of-00003.gguf", "a-00003-of-00003.gguf"], None),
            Err(ChooseError::Parts { file: "a.gguf".into(), there: 2, of: 3 })
        );
        assert!(matches!(chosen(&["../a.gguf"], None), Err(ChooseError::Name(_))));
    }
}
