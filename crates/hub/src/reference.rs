//! How a model elsewhere is written on the command line.

use crate::ReferenceError;
use reqwest::Url;
use std::str::FromStr;

/// The longest part of a repository's name, in characters.
const LONGEST_PART: usize = 96;

/// A model that is not on this machine yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteModel {
    /// `hf:OWNER/NAME[@REVISION][:FILE_OR_QUANT]`
    Hub(HubModel),
    /// `https://…/FILE.gguf`
    Url(Url),
}

/// A repository of a hub, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// `OWNER/NAME`.
    pub repository: String,
    /// A branch, a tag or a commit; the main branch when not given.
    pub revision: Option<String>,
    /// A GGUF file's path, or the name of a weight type that one file's name has.
    pub pick: Option<String>,
}

impl RemoteModel {
    /// Whether the text means a model elsewhere, rather than a path.
    pub fn is_meant(text: &str) -> bool {
        ["hf:", "https://", "http://"].iter().any(|start| text.starts_with(start))
    }

    /// What to call the model: the repository's name, or the file's without its ending.
    pub fn name(&self) -> &str {
        match self {
            Self::Hub(model) => model.repository.rsplit('/').next().unwrap_or_default(),
            Self::Url(url) => {
                let file = url.path().rsplit('/').next().unwrap_or_default();
                file.strip_suffix(".gguf").unwrap_or(file)
            }
        }
    }
}

impl FromStr for RemoteModel {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |why: &'static str| ReferenceError { text: text.to_owned(), why };
        let Some(rest) = text.strip_prefix("hf:") else {
            let url = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
            if !matches!(url.scheme(), "http" | "https") || !url.path().ends_with(".gguf") {
                return Err(wrong("a URL has to lead to a .gguf file"));
            }
            return Ok(Self::Url(url));
        };
        let (rest, pick) = match rest.split_once(':') {
            Some((rest, pick)) => (rest, Some(pick.to_owned())),
            None => (rest, None),
        };
        let (repository, revision) = match rest.split_once('@') {
            Some((repository, revision)) => (repository, Some(revision.to_owned())),
            None => (rest, None),
        };
        let parts: Vec<&str> = repository.split('/').collect();
        if parts.len() > 2 || !parts.iter().all(|part| is_name(part)) {
            return Err(wrong("a repository is OWNER/NAME, each of letters, digits, and -_."));
        }
        if revision.as_ref().is_some_and(|revision| !revision.split('/').all(is_name)) {
            return Err(wrong("a revision is a branch, a tag or a commit"));
        }
        if pick.as_ref().is_some_and(|pick| !pick.split('/').all(is_name)) {
            return Err(wrong("behind the colon stands a file of the repository or a weight type such as Q4_K_M"));
        }
        Ok(Self::Hub(HubModel { repository: repository.to_owned(), revision, pick }))
    }
}

/// Whether this is one part of a path, of characters that mean nothing else in a URL.
pub(crate) fn is_name(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+=".contains(c);
    (1..=LONGEST_PART).contains(&part.len()) && part.chars().all(allowed) && part.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("hf:owner/name", "owner/name", None, None)]
    #[case("hf:gpt2", "gpt2", None, None)]
    #[case("hf:o/n@main:Q4_K_M", "o/n", Some("main"), Some("Q4_K_M"))]
    #[case("hf:o/n@refs/pr/1", "o/n", Some("refs/pr/1"), None)]
    #[case("hf:o/n:sub/a-00001-of-00002.gguf", "o/n", None, Some("sub/a-00001-of-00002.gguf"))]
    fn a_repository_is_read(
        #[case] text: &str,
        #[case] repository: &str,
        #[case] revision: Option<&str>,
        #[case] pick: Option<&str>,
    ) {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let model = HubModel { repository: repository.into(), revision: owned(revision), pick: owned(pick) };
        assert!(RemoteModel::is_meant(text));
        assert_eq!(text.parse(), Ok(RemoteModel::Hub(model)));
    }

    #[rstest]
    #[case("hf:")]
    #[case("hf:a/b/c")]
    #[case("hf:../name")]
    #[case("hf:a/b:../../etc/passwd")]
    #[case("hf:a/b@x?y")]
    #[case("hf:a b/c")]
    #[case("https://example.org/model.bin")]
    #[case("https://")]
    fn other_texts_are_refused_with_what_is_wrong(#[case] text: &str) {
        let error = text.parse::<RemoteModel>().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }

    #[test]
    fn a_model_is_named_as_its_repository_or_file() {
        let name = |text: &str| text.parse::<RemoteModel>().unwrap().name().to_owned();
        assert_eq!(name("hf:owner/Small-1B-GGUF:Q8_0"), "Small-1B-GGUF");
        assert_eq!(name("https://example.org/a/small.Q8_0.gguf?download=true"), "small.Q8_0");
    }
}
