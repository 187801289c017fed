//! The stage protocol: what goes round the ring coordinator → stage 0 → … → last stage → coordinator.
//!
//! The dialing side says [`Hello`], the other answers [`Reply`]; from then on frames go one way only, from the earlier
//! stage to the later. A session's frames keep their order all the way round, so `Close` never overtakes a `Step`.
//!
//! Versions 5 and 6 have the same stage protocol. A side that speaks both accepts either number, and dials a peer that
//! refused the newer one again with the older ([`Refusal::retry_with`]).

use crate::{Epoch, OLDEST_VERSION, SessionId, VERSION, frame, frame::FrameError, speaks};
use serde::{Deserialize, Serialize};

/// The first message of a stage link. The version stays the first field in every version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol version that the dialing side speaks on this link.
    pub version: u16,
    /// The pipeline's epoch.
    pub epoch: Epoch,
    /// What the dialing side is.
    pub role: Role,
}

/// What the dialing side of a stage link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The earlier stage. It sends.
    Sender,
    /// The first stage, which dials the coordinator to receive from it.
    Receiver,
}

/// The answer to [`Hello`]. Its encoding is the same in every version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Go on.
    Accepted,
    /// The link is refused.
    Refused(Refusal),
}

/// Why a stage link is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The programs speak different versions.
    #[error("the dialing side speaks protocol version {theirs}, this side {ours}: update the older one")]
    Version {
        /// The dialing side's.
        theirs: u16,
        /// This side's newest.
        ours: u16,
    },
    /// This side has no stage of that epoch.
    #[error("no stage of epoch {0} is here")]
    UnknownEpoch(Epoch),
    /// The peer is not the one that the plan names for this end.
    #[error("this peer is not part of epoch {0}")]
    WrongPeer(Epoch),
}

impl Hello {
    /// Reads a stage link's first header.
    ///
    /// # Errors
    /// The outer: the bytes are no hello. The inner: the refusal of a version that this program does not speak.
    pub fn read(header: &[u8]) -> Result<Result<Self, Refusal>, FrameError> {
        // A hello of another version may go on differently after the version.
        let (version, _) = postcard::take_from_bytes::<u16>(header).map_err(FrameError::BadHeader)?;
        if !speaks(version) {
            return Ok(Err(Refusal::Version { theirs: version, ours: VERSION }));
        }
        frame::header(header).map(Ok)
    }
}

impl Refusal {
    /// The version to dial with again: the peer refused `tried` and speaks an older one that this program speaks too.
    pub fn retry_with(&self, tried: u16) -> Option<u16> {
        match self {
            Self::Version { ours, .. } => (OLDEST_VERSION..tried).contains(ours).then_some(*ours),
            Self::UnknownEpoch(_) | Self::WrongPeer(_) => None,
        }
    }
}

/// One message along the ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum StageFrame {
    /// A new session: every stage reserves KV memory for it.
    Open {
        /// The pipeline's epoch.
        epoch: Epoch,
        /// The session.
        session: SessionId,
        /// The most tokens that it may reach, prompt and answer together.
        capacity: u32,
        /// What each stage reuses, from this stage on, in their order; empty if all start from nothing.
        reuse: Vec<KvReuse>,
    },
    /// The session is over: every stage frees its KV cache and drops its waiting rows.
    Close {
        /// The pipeline's epoch.
        epoch: Epoch,
        /// The session.
        session: SessionId,
    },
    /// Work: rows of one or several sessions. The frame's body holds them.
    Step(Step),
    /// From the last stage: candidates for the next token of one or several sessions.
    Candidates {
        /// The pipeline's epoch.
        epoch: Epoch,
        /// One row per session that asked for candidates.
        rows: Vec<CandidateRow>,
    },
    /// The session's answer is complete. Every stage keeps the state of its tokens, and nothing for further ones, for
    /// sessions that begin with the same tokens ([`KvReuse::from`]): until `Close`, or until the stage needs the memory,
    /// which it reports as `SessionFailed`. Only for workers with the feature
    /// [`PREFIX_CACHE`](crate::hello::feature::PREFIX_CACHE).
    Retain {
        /// The pipeline's epoch.
        epoch: Epoch,
        /// The session.
        session: SessionId,
    },
    /// Work as in `Step`, where some of the next tokens are constrained. Only to stages with the feature
    /// [`CONSTRAINTS`](crate::hello::feature::CONSTRAINTS).
    ConstrainedStep(ConstrainedStep),
}

impl StageFrame {
    /// The epoch that the frame belongs to.
    pub fn epoch(&self) -> Epoch {
        match self {
            Self::Open { epoch, .. }
            | Self::Close { epoch, .. }
            | Self::Candidates { epoch, .. }
            | Self::Retain { epoch, .. } => *epoch,
            Self::Step(step) | Self::ConstrainedStep(ConstrainedStep { step, .. }) => step.epoch,
        }
    }
}

/// How one stage reuses the KV cache of another session: of an earlier epoch, or of one whose answer is complete
/// ([`StageFrame::Retain`]). Positions in the cache are not computed again. If the next stage needs outputs at such
/// positions, the stage sends those that it retained.
///
/// The cache of an earlier epoch's session is taken over. Within an epoch it is taken over if all of its tokens are
/// kept, and copied if they are not, so that others can begin with it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvReuse {
    /// The other session.
    pub from: SessionId,
    /// Positions of its cache to keep; 0 starts from nothing. The first row to compute has this position.
    pub keep: u32,
    /// The first position that the next stage needs. If it is below `keep`, the stage sends retained outputs.
    pub emit: u32,
}

/// Rows of one or several sessions, back to back in the order of `spans`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The pipeline's epoch.
    pub epoch: Epoch,
    /// The sessions' shares of the rows, in order.
    pub spans: Vec<Span>,
    /// What one row is.
    pub rows: Rows,
}

/// A step some of whose spans may be followed only by certain tokens. The frame's body holds the rows, and then each of
/// these spans' set of tokens (`gogrid_model::TokenSet` as bytes) in the order of the spans. Only the stage with the head
/// reads the sets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConstrainedStep {
    /// The step.
    pub step: Step,
    /// Bytes of each span's set, span by span; 0 where all tokens are allowed.
    pub allowed: Vec<u32>,
}

impl ConstrainedStep {
    /// Makes the message and its body of a step, its rows, and each span's set; empty where all tokens are allowed.
    pub fn new<'a>(step: Step, mut rows: Vec<u8>, allowed: impl IntoIterator<Item = &'a [u8]>) -> (Self, Vec<u8>) {
        let append = |set: &[u8]| {
            rows.extend_from_slice(set);
            set.len() as u32
        };
        let allowed = allowed.into_iter().map(append).collect();
        (Self { step, allowed }, rows)
    }

    /// The rows of a frame's body, and each span's set; empty where all tokens are allowed.
    ///
    /// # Errors
    /// [`FrameError::BodyLength`] where the body holds something else.
    pub fn split<'a>(&self, body: &'a [u8]) -> Result<(&'a [u8], Vec<&'a [u8]>), FrameError> {
        let sets: usize = self.allowed.iter().map(|&bytes| bytes as usize).sum();
        let rows = self.step.row_count().saturating_mul(self.step.rows.bytes());
        let described = rows.saturating_add(sets);
        if described != body.len() || self.allowed.len() != self.step.spans.len() {
            return Err(FrameError::BodyLength { bytes: body.len(), described });
        }
        let (rows, mut rest) = body.split_at(rows);
        let take = |&bytes: &u32| {
            let (set, after) = rest.split_at(bytes as usize);
            rest = after;
            set
        };
        Ok((rows, self.allowed.iter().map(take).collect()))
    }
}

/// Consecutive positions of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The session.
    pub session: SessionId,
    /// Position of the first row in the sequence.
    pub position: u32,
    /// Number of rows.
    pub tokens: u32,
    /// Candidates wanted after the last row; `None` within a prompt.
    pub want: Option<Want>,
}

/// Which candidates the coordinator needs to choose the next token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// The most likely tokens.
    pub top: u32,
    /// Further token ids, regardless of their rank.
    pub also: Vec<u32>,
}

/// What the body of a [`Step`] holds, row by row, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rows {
    /// A token id, u32.
    Tokens,
    /// Activations of `width` elements.
    Hidden {
        /// Their type.
        dtype: TensorType,
        /// Elements in a row.
        width: u32,
    },
}

impl Rows {
    /// Bytes of one row.
    pub fn bytes(self) -> usize {
        match self {
            Self::Tokens => 4,
            Self::Hidden { dtype, width } => dtype.bytes() * width as usize,
        }
    }
}

/// The element type of activations on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TensorType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// bfloat16: the upper half of binary32.
    Bf16,
}

impl TensorType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// Candidates for one session's next token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateRow {
    /// The session.
    pub session: SessionId,
    /// The position that the next token will have.
    pub position: u32,
    /// Token ids; of a constrained span only such as are allowed.
    pub ids: Vec<u32>,
    /// Their logits.
    pub logits: Vec<f32>,
    /// ln Σ exp(logit) over the whole vocabulary, so that logit − this is the log-probability.
    pub log_sum_exp: f32,
}

impl Step {
    /// All rows of the step.
    pub fn row_count(&self) -> usize {
        self.spans.iter().map(|span| span.tokens as usize).sum()
    }

    /// Checks that the body holds exactly the rows that the spans describe.
    ///
    /// # Errors
    /// [`FrameError::BodyLength`] where it does not.
    pub fn check_body(&self, body: &[u8]) -> Result<(), FrameError> {
        let described = self.row_count().saturating_mul(self.rows.bytes());
        if described == body.len() { Ok(()) } else { Err(FrameError::BodyLength { bytes: body.len(), described }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_spoken_is_refused_whatever_follows_it() {
        for version in [4, VERSION + 1] {
            let mut bytes = postcard::to_stdvec(&version).expect("encoded");
            bytes.extend([0xFF; 20]);
            assert_eq!(Hello::read(&bytes), Ok(Err(Refusal::Version { theirs: version, ours: VERSION })));
        }
        assert!(Hello::read(&[]).is_err());
        let hello = Hello { version: VERSION, epoch: Epoch(3), role: Role::Sender };
        assert_eq!(Hello::read(&postcard::to_stdvec(&hello).expect("encoded")), Ok(Ok(hello)));
        assert_eq!(Refusal::Version { theirs: VERSION, ours: 4 }.retry_with(VERSION), None, "nobody here speaks 4");
        assert_eq!(Refusal::Version { theirs: VERSION, ours: VERSION + 1 }.retry_with(VERSION), None);
        assert_eq!(Refusal::UnknownEpoch(Epoch(3)).retry_with(VERSION), None);
    }

    #[test]
    fn a_body_must_hold_its_rows_exactly() {
        let span = |tokens| Span { session: SessionId(1), position: 0, tokens, want: None };
        let step = Step {
            epoch: Epoch(3),
            spans: vec![span(2), span(1)],
            rows: Rows::Hidden { dtype: TensorType::F16, width: 8 },
        };
        assert_eq!(step.check_body(&[0; 48]), Ok(()));
        assert_eq!(step.check_body(&[0; 47]), Err(FrameError::BodyLength { bytes: 47, described: 48 }));
        let huge = Step {
            spans: vec![span(u32::MAX); 9],
            rows: Rows::Hidden { dtype: TensorType::F32, width: u32::MAX },
            ..step
        };
        assert!(huge.check_body(&[]).is_err(), "sizes that overflow are refused, not wrapped");
    }

    #[test]
    fn the_sets_of_a_constrained_step_lie_behind_its_rows() {
        let span = |session| Span { session: SessionId(session), position: 0, tokens: 1, want: None };
        let step = Step { epoch: Epoch(3), spans: vec![span(1), span(2), span(3)], rows: Rows::Tokens };
        let (rows, sets): (Vec<u8>, [&[u8]; 3]) = ((0..12).collect(), [&[1, 7], &[], &[2]]);
        let (message, body) = ConstrainedStep::new(step, rows.clone(), sets);
        assert_eq!(message.split(&body), Ok((&rows[..], sets.to_vec())));
        assert!(message.split(&body[1..]).is_err());
        let fewer = ConstrainedStep { allowed: vec![2, 1], ..message.clone() };
        assert!(fewer.split(&body).is_err(), "each span has its length");
        let huge = ConstrainedStep { allowed: vec![u32::MAX; 3], ..message };
        assert!(huge.split(&body).is_err(), "sizes that are not there are refused");
    }

    #[test]
    fn steps_of_workers_without_constraints_keep_their_encoding() {
        // What a program that does not know the last variant reads and writes.
        let step = Step { epoch: Epoch(3), spans: Vec::new(), rows: Rows::Tokens };
        let candidates = StageFrame::Candidates { epoch: Epoch(3), rows: Vec::new() };
        assert_eq!(postcard::to_stdvec(&StageFrame::Step(step.clone())).expect("encoded"), [2, 3, 0, 0]);
        assert_eq!(postcard::to_stdvec(&candidates).expect("encoded"), [3, 3, 0]);
        let constrained = StageFrame::ConstrainedStep(ConstrainedStep { step, allowed: vec![300] });
        assert_eq!(postcard::to_stdvec(&constrained).expect("encoded"), [5, 3, 0, 0, 1, 0xAC, 2]);
    }
}
