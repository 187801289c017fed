//! What comes over links, from machines that anybody may run.

use gogrid_model::{Candidates, Sampler, SamplingParams, TokenSet};
use gogrid_wire::{
    Epoch, PeerAddr, PeerId, SessionId, VERSION,
    about::GridInfo,
    control::{Hello, Lends, ToCoordinator, ToWorker, Welcome},
    frame::{self, Bounds, PREFIX_BYTES},
    hello::{self, Capabilities, feature},
    stage::{self, CandidateRow, ConstrainedStep, Role, Rows, Span, StageFrame, Step, TensorType, Want},
    weights::{Ask, Reply},
};
use serde_json::json;

/// The vocabulary that hostile candidates are sampled against.
const VOCABULARY: usize = 300;

/// A stream of bytes: lengths first, then the header of each protocol.
pub(crate) fn frame(data: &[u8]) {
    let Some((prefix, rest)) = data.split_first_chunk::<PREFIX_BYTES>() else { return };
    for bounds in [Bounds::CONTROL, Bounds::STAGE, Bounds::WEIGHTS] {
        let Ok((header, body)) = frame::lengths(*prefix, bounds) else { continue };
        assert!(header <= bounds.header as usize && body <= bounds.body as usize);
        let Some((header, rest)) = rest.split_at_checked(header) else { continue };
        let body = &rest[..body.min(rest.len())];
        drop(hello::read(header, body));
        stage_message(header, body);
        drop(frame::header::<ToWorker>(header));
        drop(frame::header::<Reply>(header));
    }
}

pub(crate) fn frames() -> Vec<Vec<u8>> {
    let whole = |header: &[u8], body: &[u8]| {
        let lengths = [header.len(), body.len()].map(|length| (length as u32).to_le_bytes());
        [lengths.as_flattened(), header, body].concat()
    };
    let body = capabilities().to_body();
    let hellos = controls().into_iter().map(|header| whole(&header, &body));
    hellos.chain(stages().into_iter().map(|header| whole(&header, &[0; 16]))).collect()
}

/// A worker's first message: its header's length in two bytes, the header, the body.
pub(crate) fn hello(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk() else { return };
    let (header, body) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    if let Ok((_, capabilities)) = hello::read(header, body) {
        // As the coordinator reads what is in them.
        let footprint = capabilities.footprint.map(serde_json::from_value::<gogrid_model::Footprint>);
        drop(footprint);
    }
    drop(GridInfo::from_body(body));
}

pub(crate) fn hellos() -> Vec<Vec<u8>> {
    let (header, body) = (encoded(&ToCoordinator::Hello(first())), capabilities().to_body());
    vec![[&(header.len() as u16).to_le_bytes()[..], &header, &body].concat()]
}

/// A message between a worker and its coordinator, of every version and in both directions.
pub(crate) fn control(data: &[u8]) {
    for version in [gogrid_wire::OLDEST_VERSION, VERSION] {
        if let Ok(message) = ToCoordinator::read(version, data) {
            drop((message.epoch(), format!("{message:?}")));
        }
    }
    if let Ok(message) = frame::header::<ToWorker>(data) {
        assert_eq!(frame::header::<ToWorker>(&encoded(&message)), Ok(message));
    }
}

pub(crate) fn controls() -> Vec<Vec<u8>> {
    let epoch = Epoch::new(7, 9);
    let welcome = Welcome { version: VERSION, grid: "Example".into(), weights_port: 7451, weights_token: "t".into() };
    vec![
        encoded(&ToCoordinator::Hello(first())),
        encoded(&ToCoordinator::Lends(Lends { memory: 1 << 30, stopped: None, computes: true })),
        encoded(&ToCoordinator::LinkLost { epoch, message: "it broke".into() }),
        encoded(&ToCoordinator::Draining),
        encoded(&ToWorker::Welcome(welcome)),
        encoded(&ToWorker::Start { epoch }),
        encoded(&ToWorker::Stop { epoch, keep: true }),
    ]
}

/// A message between stages: the header's length in two bytes, the header, the body.
pub(crate) fn stage(data: &[u8]) {
    let Some((length, rest)) = data.split_first_chunk() else { return stage_message(data, &[]) };
    let (header, body) = rest.split_at(rest.len().min(u16::from_le_bytes(*length).into()));
    stage_message(header, body);
    stage_message(data, &[]);
}

fn stage_message(header: &[u8], body: &[u8]) {
    drop(stage::Hello::read(header));
    drop(frame::header::<stage::Reply>(header));
    let Ok(message) = frame::header::<StageFrame>(header) else { return };
    let _ = message.epoch();
    match message {
        StageFrame::Step(step) => drop(step.check_body(body)),
        StageFrame::ConstrainedStep(step) => {
            if let Ok((rows, sets)) = step.split(body) {
                assert_eq!(rows.len() + sets.iter().map(|set| set.len()).sum::<usize>(), body.len());
                sets.into_iter().for_each(|set| drop(TokenSet::from_bytes(set, VOCABULARY)));
            }
        }
        _ => {}
    }
}

pub(crate) fn stages() -> Vec<Vec<u8>> {
    let (epoch, session) = (Epoch::new(7, 9), SessionId::new(Epoch::new(7, 9), 1));
    let span = Span { session, position: 3, tokens: 1, want: Some(Want { top: 2, also: vec![5] }) };
    let step = |rows| Step { epoch, spans: vec![span.clone()], rows };
    let rows = Rows::Hidden { dtype: TensorType::F16, width: 4 };
    let (constrained, _) = ConstrainedStep::new(step(Rows::Tokens), vec![1, 0, 0, 0], [&[0xFF; 8][..]]);
    let row = |ids: Vec<u32>, logits: Vec<f32>| CandidateRow { session, position: 4, ids, logits, log_sum_exp: 3.0 };
    vec![
        encoded(&stage::Hello { version: VERSION, epoch, role: Role::Sender }),
        encoded(&StageFrame::Step(step(rows))),
        encoded(&StageFrame::ConstrainedStep(constrained)),
        encoded(&StageFrame::Candidates { epoch, rows: vec![row(vec![1, 2], vec![2.0, 1.0])] }),
        encoded(&StageFrame::Candidates { epoch, rows: vec![row(vec![1, 2], vec![f32::NAN, f32::INFINITY])] }),
        encoded(&StageFrame::Candidates {
            epoch,
            rows: vec![row((0..VOCABULARY as u32).collect(), (0..VOCABULARY).map(|rank| -(rank as f32)).collect())],
        }),
        encoded(&StageFrame::Close { epoch, session }),
        encoded(&StageFrame::Retain { epoch, session }),
    ]
}

/// Candidates of a hostile last stage: a token is chosen among them, or a typed error comes.
pub(crate) fn candidates(data: &[u8]) {
    let Ok(StageFrame::Candidates { rows, .. }) = frame::header(data) else { return };
    let settings = [
        SamplingParams::greedy(),
        SamplingParams { temperature: 1.0, top_p: 0.9, min_p: 0.1, ..SamplingParams::default() },
        SamplingParams { frequency_penalty: 2.0, repetition_penalty: 1.5, ..SamplingParams::default() },
    ];
    for CandidateRow { ids, logits, log_sum_exp, .. } in rows {
        let came = Candidates { ids, logits, log_sum_exp };
        for params in &settings {
            let Ok(sampler) = Sampler::new(params.clone(), VOCABULARY, &[1, 2]) else { continue };
            if let Ok(sampled) = sampler.sample(&came, 2, None) {
                assert!((sampled.token as usize) < VOCABULARY, "{came:?}");
            }
        }
    }
}

/// A question for weights, and its answer.
pub(crate) fn weights(data: &[u8]) {
    drop(frame::header::<Ask>(data));
    drop(frame::header::<Reply>(data));
}

pub(crate) fn asks() -> Vec<Vec<u8>> {
    vec![encoded(&Ask { hash: [7; 32], from: 1 << 40 }), encoded(&Reply::Tensor { bytes: 1 << 40 })]
}

fn first() -> Hello {
    let addrs = PeerAddr { id: PeerId([1; 32]), addrs: vec![([192, 0, 2, 1], 7450).into()] }.addrs;
    Hello { version: VERSION, token: None, name: "anna".into(), device: "cuda:0".into(), memory: 8 << 30, addrs }
}

fn capabilities() -> Capabilities {
    Capabilities {
        program: "0.1.0".into(),
        features: feature::ALL.map(String::from).into(),
        footprint: Some(json!({"device": "cuda"})),
        ..Capabilities::default()
    }
}

fn encoded<T: serde::Serialize>(message: &T) -> Vec<u8> {
    postcard::to_stdvec(message).unwrap_or_default()
}
