//! Whom a request is from: the peer, or what a configured proxy says of it.

use axum::http::HeaderMap;
use std::net::IpAddr;

const FORWARDED: &str = "x-forwarded-for";

/// The address of the client. Of a configured proxy's header the last address counts that is not a proxy's itself: what
/// is before it may be the client's own invention.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let is_proxy = |address: &IpAddr| proxies.contains(&address.to_canonical());
    if !is_proxy(&peer) {
        return peer;
    }
    let lines: Vec<&str> = headers.get_all(FORWARDED).iter().filter_map(|line| line.to_str().ok()).collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let mut client = peer;
    for hop in hops {
        // Behind what cannot be read nothing is certain.
        let Ok(address) = hop.trim().parse() else { break };
        client = address;
        if !is_proxy(&address) {
            break;
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        lines.iter().for_each(|line| _ = headers.append(FORWARDED, line.parse().expect("a value")));
        let proxies = ["127.0.0.1", "10.0.0.9"].map(|address| address.parse().expect("an address"));
        client(peer.parse().expect("an address"), &headers, &proxies).to_string()
    }

    #[test]
    fn only_configured_proxies_are_believed_and_only_their_own_word() {
        assert_eq!(from("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "anybody can send the header");
        assert_eq!(from("127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(from("::ffff:127.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(from("127.0.0.1", &["203.0.113.5, 198.51.100.7, 10.0.0.9"]), "198.51.100.7", "two proxies");
        assert_eq!(from("127.0.0.1", &["203.0.113.5", "198.51.100.7"]), "198.51.100.7", "two lines");
        assert_eq!(from("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &["unknown"]), "127.0.0.1");
        assert_eq!(from("127.0.0.1", &["2001:db8::7"]), "2001:db8::7");
    }
}
