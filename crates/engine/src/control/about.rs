//! What the donor is shown of the grid, from what its coordinator says.

use gogrid_panel_api::{GridAbout, GridApi};
use gogrid_wire::about::{ApiAddress, GridInfo};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// Reads the body of [`ToWorker::About`](gogrid_wire::control::ToWorker::About), which came from a coordinator at this
/// address.
pub(super) fn read(body: &[u8], coordinator: Option<IpAddr>) -> Option<GridAbout> {
    let GridInfo { owner, contact, purpose, models, answers_today, api } = GridInfo::from_body(body)?;
    let api = api.map(|address| reached(address, coordinator));
    Some(GridAbout { owner, contact, purpose, models, answers_today, api })
}

/// The API as this machine reaches it.
fn reached(ApiAddress { url, port, local }: ApiAddress, coordinator: Option<IpAddr>) -> GridApi {
    let at = |ip: IpAddr| format!("http://{}", SocketAddr::new(ip.to_canonical(), port));
    let found = match (url, local) {
        (Some(url), _) => return GridApi { url: Some(url), local: false },
        (None, true) => coordinator.filter(|ip| is_here(*ip)).map(|_| at(Ipv4Addr::LOCALHOST.into())),
        (None, false) => coordinator.map(at),
    };
    GridApi { url: found, local }
}

/// Whether an address is one of this machine's: no other can be bound.
fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: Option<&str>, local: bool, coordinator: &str) -> (Option<String>, bool) {
        let address = ApiAddress { url: url.map(str::to_owned), port: 8080, local };
        let GridApi { url, local } = reached(address, Some(coordinator.parse().expect("an address")));
        (url, local)
    }

    #[test]
    fn the_api_is_where_the_coordinator_says_or_at_its_address() {
        let url = |url: &str| Some(url.to_owned());
        assert_eq!(api(Some("https://llm.example.org"), true, "192.0.2.1"), (url("https://llm.example.org"), false));
        assert_eq!(api(None, false, "192.0.2.1"), (url("http://192.0.2.1:8080"), false));
        assert_eq!(api(None, false, "2001:db8::1"), (url("http://[2001:db8::1]:8080"), false));
        assert_eq!(api(None, false, "::ffff:192.0.2.1"), (url("http://192.0.2.1:8080"), false));
    }

    #[test]
    fn an_api_on_the_coordinators_machine_alone_is_reached_there_alone() {
        assert_eq!(api(None, true, "127.0.0.1"), (Some("http://127.0.0.1:8080".into()), true));
        // An address for documentation is nobody's.
        assert_eq!(api(None, true, "192.0.2.1"), (None, true));
    }
}
