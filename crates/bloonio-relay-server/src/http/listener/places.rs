//! How many connections there may be at once: in all, and from one address.
//!
//! A connection costs memory before anything is known of whoever opened it, and may be kept open for long by a wait or a
//! stream. So their number is limited where they are accepted; one too many is closed at once, which costs the peer a
//! try and everybody else nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use crate::limit::origin;

/// How many (`RELAY_MAX_CONNECTIONS`, `RELAY_MAX_CONNECTIONS_PER_ADDRESS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// From one address; neighbours of one IPv6 network count as one.
    pub per_address: usize,
    /// Whose connections are many people's: the trusted proxies. This machine's own addresses are, too.
    pub proxies: Vec<IpNet>,
}

/// Why there was no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// There are too many in all.
    Everywhere,
    /// There are too many from this address.
    Here,
}

impl Full {
    /// Its label in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Everywhere => "total",
            Self::Here => "address",
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The places of a listener. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Places {
    limits: Arc<ConnectionLimits>,
    taken: Arc<Mutex<Taken>>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    /// Where it counts, unless it is a proxy's.
    address: Option<IpAddr>,
    taken: Arc<Mutex<Taken>>,
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Places {
    /// Places that are all free.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self { limits: Arc::new(limits), taken: Arc::default() }
    }

    /// Takes a place for a connection from `peer`.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take(&self, peer: IpAddr) -> Result<Place, Full> {
        let limits = &self.limits;
        let peer = peer.to_canonical();
        let is_many = peer.is_loopback() || limits.proxies.iter().any(|network| network.contains(&peer));
        let address = (!is_many).then(|| origin(peer));
        let mut taken = lock(&self.taken);
        if taken.total >= limits.total {
            return Err(Full::Everywhere);
        }
        if let Some(address) = address {
            let here = taken.by_address.entry(address).or_default();
            if *here >= limits.per_address {
                return Err(Full::Here);
            }
            *here += 1;
        }
        taken.total += 1;
        Ok(Place { address, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.total -= 1;
        let Some(address) = self.address else { return };
        if let Some(here) = taken.by_address.get_mut(&address) {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn places(total: usize, per_address: usize) -> Places {
        Places::new(ConnectionLimits { total, per_address, proxies: vec!["10.0.0.0/8".parse().unwrap()] })
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_given_back_is_free_again_and_leaves_nothing_behind() {
        let places = places(2, 1);
        let one = places.take(peer("192.0.2.1")).unwrap();
        assert_eq!(places.take(peer("192.0.2.1")).unwrap_err(), Full::Here);
        let two = places.take(peer("192.0.2.2")).unwrap();
        assert_eq!(places.take(peer("192.0.2.3")).unwrap_err(), Full::Everywhere);
        drop(one);
        let again = places.take(peer("192.0.2.1")).unwrap();
        drop((two, again));
        let taken = lock(&places.taken);
        assert_eq!((taken.total, taken.by_address.len()), (0, 0));
    }

    #[rstest]
    #[case::a_proxy("10.1.2.3", "10.1.2.3", true)]
    #[case::a_mapped_proxy("::ffff:10.1.2.3", "10.1.2.3", true)]
    #[case::this_machine("127.0.0.1", "127.0.0.1", true)]
    #[case::one_network("2001:db8::1", "2001:db8::2", false)]
    #[case::two_networks("2001:db8::1", "2001:db8:0:1::1", true)]
    #[case::one_address("192.0.2.1", "::ffff:192.0.2.1", false)]
    fn the_many_people_behind_a_proxy_are_not_one(#[case] first: &str, #[case] second: &str, #[case] both: bool) {
        let places = places(10, 1);
        let _first = places.take(peer(first)).unwrap();
        assert_eq!(places.take(peer(second)).is_ok(), both);
    }

    #[test]
    fn whoever_is_refused_takes_nothing() {
        let places = places(1, 1);
        let held = places.take(peer("192.0.2.1")).unwrap();
        for n in 0..100 {
            assert!(places.take(IpAddr::from([192, 0, 2, n])).is_err());
        }
        assert_eq!(lock(&places.taken).by_address.len(), 1);
        drop(held);
        assert!(places.take(peer("192.0.2.9")).is_ok());
    }
}
