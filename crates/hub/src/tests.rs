//! Fetching from a server that behaves like a hub.

mod server;

use crate::{Hub, HubError, Progress, RemoteModel, Token, fetch};
use server::{FILES, Fault, Server};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

async fn get(server: &Server, token: Option<&str>, model: &str, folder: &Path) -> Result<PathBuf, HubError> {
    gogrid_link::install_crypto();
    let mut hub = Hub::new(&server.address, token.map(|token| Token::typed(token).unwrap())).unwrap();
    hub.first_wait = Duration::from_millis(1);
    fetch(&hub, &model.parse::<RemoteModel>().unwrap(), folder, |_: Progress<'_>| ()).await
}

fn same(path: &Path, name: &str) {
    let (_, content) = FILES.iter().find(|(file, _)| *file == name).unwrap();
    assert!(fs::read(path).unwrap() == *content, "{name}");
}

#[tokio::test]
async fn a_folder_is_fetched_with_the_shards_of_its_index() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let path = get(&server, None, "hf:small/model", folder.path()).await.unwrap();
    assert_eq!(path, folder.path().join("small--model/0123456789ab"));
    for name in ["config.json", "tokenizer.json", "model-1.safetensors", "model-2.safetensors"] {
        same(&path.join(name), name);
    }
    assert!(!path.join("README.md").exists() && !path.join("unused.safetensors").exists());
    // What is there is not fetched again.
    let before = server.downloads();
    get(&server, None, "hf:small/model", folder.path()).await.unwrap();
    assert_eq!(server.downloads(), before);
}

#[tokio::test]
async fn a_weight_type_is_fetched_with_all_its_parts() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let path = get(&server, None, "hf:small/model:Q8_0", folder.path()).await.unwrap();
    assert!(path.ends_with("m-Q8_0-00001-of-00002.gguf"));
    for name in ["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"] {
        same(&path.with_file_name(name), name);
    }
}

#[tokio::test]
async fn a_cut_connection_is_continued_and_a_busy_server_asked_again() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    server.faults([Fault::Status(429, Some("0")), Fault::CutAfter(1000), Fault::Status(503, Some("0"))]);
    let path = get(&server, None, "hf:small/model:Q4_K_M", folder.path()).await.unwrap();
    same(&path, "m-Q4_K_M.gguf");
    assert_eq!(server.ranges(), [None, None, Some("bytes=1000-".to_owned()), Some("bytes=1000-".to_owned())]);
}

#[tokio::test]
async fn what_was_begun_is_continued_by_the_next_run_and_checked_as_a_whole() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let part = folder.path().join("small--model/0123456789ab/m-Q4_K_M.gguf.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    let (_, content) = FILES.iter().find(|(file, _)| *file == "m-Q4_K_M.gguf").unwrap();
    fs::write(&part, &content[..500]).unwrap();
    let path = get(&server, None, "hf:small/model:Q4_K_M", folder.path()).await.unwrap();
    assert_eq!(server.ranges(), [Some("bytes=500-".to_owned())]);
    same(&path, "m-Q4_K_M.gguf");
    // The same with a beginning of other content.
    fs::remove_file(&path).unwrap();
    fs::write(&part, [0xff; 500]).unwrap();
    let error = get(&server, None, "hf:small/model:Q4_K_M", folder.path()).await.unwrap_err();
    assert!(matches!(&error, HubError::Damaged { file, why } if file == "m-Q4_K_M.gguf" && why.contains("SHA-256")));
    assert!(!path.exists());
    get(&server, None, "hf:small/model:Q4_K_M", folder.path()).await.unwrap();
    same(&path, "m-Q4_K_M.gguf");
}

#[tokio::test]
async fn a_server_that_ignores_ranges_sends_it_all_again() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    server.faults([Fault::CutAfter(1000), Fault::WholeAgain]);
    same(&get(&server, None, "hf:small/model:Q4_K_M", folder.path()).await.unwrap(), "m-Q4_K_M.gguf");
}

#[tokio::test]
async fn a_token_goes_to_the_hub_alone() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let error = get(&server, None, "hf:small/gated", folder.path()).await.unwrap_err();
    assert!(matches!(error, HubError::Rights { sent: false, .. }), "{error}");
    let error = get(&server, Some("wrong"), "hf:small/gated", folder.path()).await.unwrap_err();
    assert!(matches!(error, HubError::Rights { sent: true, .. }), "{error}");
    assert!(!error.to_string().contains("wrong"));
    get(&server, Some("secret"), "hf:small/gated:Q4_K_M", folder.path()).await.unwrap();
    // Files come from another host, as the hub's redirects say.
    assert!(server.downloads() > 0);
    assert_eq!(server.tokens_elsewhere(), 0);
}

#[tokio::test]
async fn a_file_at_a_url_is_fetched_with_its_other_parts() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    server.faults([Fault::CutAfter(700)]);
    let url = format!("{}/files/m-Q8_0-00002-of-00002.gguf", server.address);
    let path = get(&server, None, &url, folder.path()).await.unwrap();
    same(&path, "m-Q8_0-00001-of-00002.gguf");
    same(&path.with_file_name("m-Q8_0-00002-of-00002.gguf"), "m-Q8_0-00002-of-00002.gguf");
    assert_eq!(server.ranges()[..2], [None, Some("bytes=700-".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_had_is_said() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let failed = async |model: &str| get(&server, None, model, folder.path()).await.unwrap_err();
    assert!(matches!(failed("hf:small/none").await, HubError::NotFound(name) if name == "small/none"));
    assert!(matches!(failed("hf:small/model:Q2_K").await, HubError::Choose { .. }));
    assert!(matches!(failed("hf:small/huge:huge.gguf").await, HubError::Space { .. }));
    server.faults([Fault::Status(429, Some("3600"))]);
    assert!(matches!(failed("hf:small/model").await, HubError::Busy { wait, .. } if wait.as_secs() == 3600));
    let other = Hub::new("http://hub.example", None);
    assert!(matches!(other, Err(HubError::Address(_))), "unencrypted");
}

#[tokio::test]
async fn two_programs_do_not_fetch_one_file() {
    let (server, folder) = (Server::start().await, tempfile::tempdir().unwrap());
    let part = folder.path().join("small--model/0123456789ab/m-Q4_K_M.gguf.part");
    fs::create_dir_all(part.parent().unwrap()).unwrap();
    let held = fs::File::create(&part).unwrap();
    held.lock().unwrap();
    let error = get(&server, None, "hf:small/model:Q4_K_M", folder.path()).await.unwrap_err();
    assert!(matches!(error, HubError::Locked(_)), "{error}");
}
