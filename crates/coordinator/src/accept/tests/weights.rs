//! Who gets weights over a link, and who does not.

use super::*;
use gogrid_model::{Location, TensorHash};
use gogrid_wire::weights::{Ask, PART_BYTES, Reply as Answer};

const HASH: [u8; 32] = [7; 32];

/// Puts a tensor of these bytes on the coordinator's disk, in the middle of a file.
fn put(grid: &Grid, bytes: &[u8]) {
    let path = grid.folder.path().join("tensors");
    std::fs::write(&path, [b"..", bytes, b".."].concat()).expect("written");
    grid.tensors.put(TensorHash::from_bytes(HASH), Location { path, offset: 2, bytes: bytes.len() as u64 });
}

/// The next answer; `None` if the coordinator closed the link.
async fn answer(link: &mut Link) -> Option<Received<Answer>> {
    tokio::time::timeout(SOON, link.receiver.recv::<Answer>()).await.expect("in time").ok()
}

/// Asks for a tensor from a position on; its bytes, or the coordinator's other answer.
async fn fetch(link: &mut Link, hash: [u8; 32], from: u64) -> Result<Vec<u8>, Option<Answer>> {
    // If the link is closed already, the answer says so.
    drop(link.sender.send(&Ask { hash, from }, &[]).await);
    let first = answer(link).await.map(|received| received.message);
    let Some(Answer::Tensor { bytes }) = first else { return Err(first) };
    let mut tensor = Vec::new();
    while (tensor.len() as u64) < bytes {
        let part = answer(link).await.ok_or(None)?;
        assert!(part.message == Answer::Part && (1..=PART_BYTES).contains(&part.body.len()));
        tensor.extend(part.body);
    }
    Ok(tensor)
}

#[tokio::test]
async fn a_member_gets_tensors_one_after_another_and_the_rest_of_one() {
    let mut grid = Grid::start(1);
    let tensor: Vec<u8> = (0..=255).cycle().take(2 * PART_BYTES + 3).collect();
    put(&grid, &tensor);
    grid.join(1, VERSION).await;
    let mut link = grid.dial(1, Protocol::Weights).await;
    assert_eq!(fetch(&mut link, HASH, 0).await.as_deref(), Ok(&*tensor));
    let from = PART_BYTES + 1;
    assert_eq!(fetch(&mut link, HASH, from as u64).await.as_deref(), Ok(&tensor[from..]));
    assert_eq!(fetch(&mut link, HASH, tensor.len() as u64).await.as_deref(), Ok(&[][..]));
    for (hash, from) in [([8; 32], 0), (HASH, tensor.len() as u64 + 1), (HASH, u64::MAX)] {
        assert_eq!(fetch(&mut link, hash, from).await, Err(Some(Answer::Unknown)));
    }
    // What is no question ends the link.
    link.sender.send_raw(&[0xFF; 64]).await.expect("sent");
    assert!(answer(&mut link).await.is_none());
}

#[tokio::test]
async fn a_stranger_and_a_member_that_was_removed_get_nothing() {
    let mut grid = Grid::start(1);
    put(&grid, b"0123456789");
    let mut stranger = grid.dial(9, Protocol::Weights).await;
    assert_eq!(fetch(&mut stranger, HASH, 0).await, Err(None));

    grid.join(1, VERSION).await;
    let mut link = grid.dial(1, Protocol::Weights).await;
    assert_eq!(fetch(&mut link, HASH, 0).await.as_deref(), Ok(&b"0123456789"[..]));
    remove_member(grid.folder.path(), "machine-1").expect("removed");
    grid.fleet.registry().tell_removals();
    assert!(answer(&mut link).await.is_none(), "its open link is closed");
    let mut again = grid.dial(1, Protocol::Weights).await;
    assert_eq!(fetch(&mut again, HASH, 0).await, Err(None));
}

#[tokio::test]
async fn a_token_for_the_older_server_is_for_workers_of_an_older_version() {
    let grid = Grid::start(1);
    let token = |answer| match answer {
        ToWorker::Welcome(welcome) => welcome.weights_token,
        other => panic!("{other:?}"),
    };
    let (_new, answer) = grid.greet_with(1, VERSION, "cpu", &[feature::WEIGHTS]).await;
    assert_eq!(token(answer), "");
    let (_old, answer) = grid.greet(2, OLDEST_VERSION, "cpu").await;
    assert_eq!(token(answer).len(), 32);
}
