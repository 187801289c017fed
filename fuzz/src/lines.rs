//! Texts that people and local programs hand in.

use gogrid_panel_api::Request;
use gogrid_wire::{InviteToken, JoinCode, PeerAddr, PeerId};

/// A join code, pasted by a donor: what is read is written in the same way.
pub(crate) fn join_code(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(code) = text.parse::<JoinCode>() {
        let again: Result<JoinCode, _> = code.to_string().parse();
        assert!(again.is_ok_and(|again| again == code), "{text:?}");
    }
}

pub(crate) fn join_codes() -> Vec<Vec<u8>> {
    let code = JoinCode {
        coordinator: PeerAddr { id: PeerId([7; 32]), addrs: vec![([192, 0, 2, 7], 7450).into()] },
        token: InviteToken([9; 16]),
        grid: "Example Grid".into(),
    };
    vec![code.to_string().into_bytes()]
}

/// A line on a worker's local socket.
pub(crate) fn local_line(data: &[u8]) {
    if let Ok(request) = Request::from_line(data) {
        let line = serde_json::to_vec(&request);
        assert!(line.is_ok_and(|line| Request::from_line(&line).is_ok()), "{request:?}");
    }
}

pub(crate) fn local_lines() -> Vec<Vec<u8>> {
    [
        r#"{"request":"status"}"#,
        r#"{"request":"follow","every_ms":500}"#,
        r#"{"request":"set","changes":[["cpu","50"],["memory","4GiB"],["stop-for","blender"]]}"#,
        r#"{"request":"pause","seconds":900,"after_answers":true}"#,
        r#"{"request":"history","range":"ten_minutes"}"#,
        r#"{"request":"events","after_ms":1764000000000}"#,
        r#"{"request":"energy_figures","price":0.3,"currency":"€","rest_watts":40.0,"full_watts":200.0}"#,
        r#"{"request":"join","code":"x"}"#,
        r#"{"request":"clear_weights","model":"demo"}"#,
    ]
    .map(|line| line.as_bytes().to_vec())
    .into()
}
