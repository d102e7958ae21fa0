//! Which addresses a tenant may make the relay talk to (SECURITY, "Outbound and operators").
//!
//! Only globally routable unicast is [`Reach::Global`]. An IPv6 address that carries an IPv4 address is judged by both, the
//! worse verdict stands: otherwise `64:ff9b::a9fe:a9fe` would lead to a cloud's metadata service.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// How far an address reaches; the greater, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The open internet.
    Global,
    /// Somebody's own network, this machine, or a tunnel: open only where the operator says so.
    Private,
    /// Never a callback receiver: metadata services, link-local, multicast, documentation, reserved.
    Never,
}

use Reach::{Never, Private};

const fn v4(a: u8, b: u8, c: u8, d: u8, len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), len)
}

const fn v6(high: [u16; 4], len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(high[0], high[1], high[2], high[3], 0, 0, 0, 0), len)
}

/// IPv4: IANA's special-purpose registry, and the metadata addresses that clouds hide outside it.
const V4: &[(Ipv4Net, Reach)] = &[
    (v4(0, 0, 0, 0, 8), Never),          // this network; connects to the machine itself
    (v4(10, 0, 0, 0, 8), Private),       // RFC 1918
    (v4(100, 64, 0, 0, 10), Private),    // carrier-grade NAT
    (v4(100, 100, 100, 200, 32), Never), // metadata service
    (v4(127, 0, 0, 0, 8), Private),      // loopback
    (v4(168, 63, 129, 16, 32), Never),   // metadata service
    (v4(169, 254, 0, 0, 16), Never),     // link-local; metadata services
    (v4(172, 16, 0, 0, 12), Private),    // RFC 1918
    (v4(192, 0, 0, 0, 24), Never),       // protocol assignments; metadata service
    (v4(192, 0, 2, 0, 24), Never),       // documentation
    (v4(192, 88, 99, 0, 24), Never),     // 6to4 relays, abandoned
    (v4(192, 168, 0, 0, 16), Private),   // RFC 1918
    (v4(198, 18, 0, 0, 15), Private),    // benchmarking
    (v4(198, 51, 100, 0, 24), Never),    // documentation
    (v4(203, 0, 113, 0, 24), Never),     // documentation
    (v4(224, 0, 0, 0, 4), Never),        // multicast
    (v4(240, 0, 0, 0, 4), Never),        // reserved, and broadcast
];

/// IPv6, inside 2000::/3 and out of it; what the table does not name outside 2000::/3 is [`Never`].
const V6: &[(Ipv6Net, Reach)] = &[
    (v6([0, 0, 0, 0], 96), Private),         // v4-compatible; also :: and ::1
    (v6([0x64, 0xff9b, 0, 0], 96), Private), // NAT64
    (v6([0x64, 0xff9b, 1, 0], 48), Never),   // NAT64, local use: what it carries cannot be read
    (v6([0x100, 0, 0, 0], 64), Never),       // discard
    (v6([0x2001, 0, 0, 0], 32), Private),    // Teredo
    (v6([0x2001, 2, 0, 0], 48), Never),      // benchmarking
    (v6([0x2001, 0x10, 0, 0], 28), Never),   // ORCHID
    (v6([0x2001, 0x20, 0, 0], 28), Never),   // ORCHIDv2
    (v6([0x2001, 0xdb8, 0, 0], 32), Never),  // documentation
    (v6([0x2002, 0, 0, 0], 16), Private),    // 6to4
    (v6([0x3fff, 0, 0, 0], 20), Never),      // documentation
    (v6([0x5f00, 0, 0, 0], 16), Never),      // segment routing
    (v6([0xfc00, 0, 0, 0], 7), Private),     // unique local
    (v6([0xfd00, 0xec2, 0, 0], 32), Never),  // metadata service
    (v6([0xfd20, 0xce, 0, 0], 32), Never),   // metadata service
    (v6([0xfe80, 0, 0, 0], 10), Never),      // link-local
    (v6([0xfec0, 0, 0, 0], 10), Never),      // site-local, abandoned
    (v6([0xff00, 0, 0, 0], 8), Never),       // multicast
];

const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);
const MAPPED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// The IPv4 address inside an IPv6 address, where there is one.
pub fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = ip.octets();
    let s = ip.segments();
    let last = Ipv4Addr::new(a, b, c, d);
    match s {
        // :: and ::1 are addresses of their own, not v4-compatible ones.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // v4-compatible, v4-mapped, NAT64
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(last),
        [0x2002, high, low, ..] => Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))),
        // Teredo keeps the client's address inverted.
        [0x2001, 0, ..] => Some(Ipv4Addr::from(!u32::from(last))),
        _ => None,
    }
}

/// How far an address reaches.
pub fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => embedded(ip).map_or(Reach::Global, reach_v4).max(reach_v6(ip)),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    V4.iter().filter(|(net, _)| net.contains(&ip)).map(|(_, reach)| *reach).max().unwrap_or(Reach::Global)
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if ip.is_unspecified() {
        return Never;
    }
    let named = V6.iter().filter(|(net, _)| net.contains(&ip)).map(|(_, reach)| *reach).max();
    named.unwrap_or(if GLOBAL_UNICAST.contains(&ip) || MAPPED.contains(&ip) { Reach::Global } else { Never })
}
