use super::*;
use gogrid_link::{MemoryNet, Protocol, Transport};
use gogrid_model::{TensorHash, WeightType};
use gogrid_wire::{
    PeerAddr, PeerId,
    weights::{Ask, Reply},
};

#[test]
fn the_network_is_as_fast_as_much_came_at_best_unless_the_donor_held_it_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = WeightCache::open(folder.path()).expect("opened");
    let second = Duration::from_secs(1);
    cache.note_rate(ENOUGH_TO_TELL - 1, second);
    assert_eq!(cache.bandwidth(), None);
    cache.bounds().set(u64::MAX, Some(10_000_000));
    cache.note_rate(9_900_000, second);
    assert_eq!(cache.bandwidth(), None);
    cache.note_rate(30_000_000, 10 * second);
    assert_eq!(cache.bandwidth(), Some(3_000_000));
    cache.bounds().set(u64::MAX, None);
    cache.note_rate(50_000_000, second);
    cache.note_rate(20_000_000, second);
    assert_eq!(cache.bandwidth(), Some(50_000_000));
}

/// The tensor of these tests.
const TENSOR: &[u8] = b"0123456789";

/// A worker's cache, and the source that it fetches from: a coordinator on the other end of the network.
struct Site {
    folder: tempfile::TempDir,
    cache: WeightCache,
    source: WeightSource,
    coordinator: Arc<dyn Transport>,
}

impl Site {
    fn new() -> Self {
        let net = MemoryNet::default();
        let [worker, coordinator] = [1, 2].map(|number| net.join(PeerId([number; 32])));
        let folder = tempfile::tempdir().expect("a folder");
        let cache = WeightCache::open(folder.path()).expect("opened");
        let coordinator_at = PeerAddr { id: coordinator.id(), addrs: Vec::new() };
        Self { folder, cache, source: WeightSource { transport: worker, coordinator: coordinator_at }, coordinator }
    }

    /// Fetches the tensor from a coordinator that answers each question on a link of its own with these frames. Returns
    /// how it went, and from where on the bytes were asked for.
    async fn fetch(&self, answers: &[&[(Reply, &[u8])]]) -> (Result<(), FetchError>, Vec<u64>) {
        let entry = TensorEntry {
            name: "norm".into(),
            dtype: WeightType::F32,
            shape: vec![1],
            bytes: TENSOR.len() as u64,
            hash: TensorHash::of(TENSOR),
        };
        let coordinator = async {
            let mut asked = Vec::new();
            for answer in answers {
                let mut link = self.coordinator.accept().await.expect("dialed");
                assert_eq!(link.protocol, Protocol::Weights);
                let ask = link.receiver.recv::<Ask>().await.expect("a question").message;
                assert_eq!(&ask.hash, TensorHash::of(TENSOR).as_bytes());
                asked.push(ask.from);
                for (reply, body) in *answer {
                    // The worker may have hung up.
                    drop(link.sender.send(reply, body).await);
                }
            }
            asked
        };
        let links = WeightLinks::of(&self.source);
        tokio::join!(self.cache.fetch_tensor(&entry, &links), coordinator)
    }

    fn files(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path()).expect("readable").flatten();
        files.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_download_goes_on_where_it_stopped() {
    let site = Site::new();
    let first = [(Reply::Tensor { bytes: 10 }, &b""[..]), (Reply::Part, b"0123")];
    let rest = [(Reply::Tensor { bytes: 6 }, &b""[..]), (Reply::Part, b"45"), (Reply::Part, b"6789")];
    let (fetched, asked) = site.fetch(&[&first, &rest]).await;
    fetched.expect("whole");
    assert_eq!(asked, [0, 4]);
    assert_eq!(site.files(), [TensorHash::of(TENSOR).to_string()]);
    assert_eq!(fs::read(site.folder.path().join(&site.files()[0])).expect("kept"), TENSOR);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_tensor_is_not_kept() {
    let other = [(Reply::Tensor { bytes: 10 }, &b""[..]), (Reply::Part, b"012345678X")];
    let longer = [(Reply::Tensor { bytes: 10 }, &b""[..]), (Reply::Part, b"0123456789X")];
    let endless = [(Reply::Tensor { bytes: u64::MAX }, &b""[..]), (Reply::Part, TENSOR)];
    let no_length = [(Reply::Part, TENSOR)];
    let empty = [(Reply::Tensor { bytes: 10 }, &b""[..]), (Reply::Part, b"")];
    for answer in [&other[..], &longer, &endless, &no_length, &empty] {
        let site = Site::new();
        let (fetched, asked) = site.fetch(&[answer; TRIES]).await;
        assert!(matches!(fetched, Err(FetchError::Mismatch { .. })), "{answer:?}: {fetched:?}");
        assert_eq!(asked, [0; TRIES]);
        assert!(site.files().iter().all(|file| file.ends_with(".part")), "{:?}", site.files());
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_without_the_tensor_is_asked_again_and_given_up() {
    let site = Site::new();
    let unknown: &[(Reply, &[u8])] = &[(Reply::Unknown, b"")];
    let (fetched, asked) = site.fetch(&[unknown; TRIES]).await;
    assert!(matches!(fetched, Err(FetchError::Unknown { .. })), "{fetched:?}");
    assert_eq!((asked.len(), site.files().len()), (TRIES, 0));
}
