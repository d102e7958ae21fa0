//! The connections to FCM (PUSH.md 1.8).
//!
//! An HTTP client keeps one HTTP/2 connection a host, and FCM carries 100 messages on one at a time; whoever forgets that
//! is disconnected. So there are several clients with a connection each, and the next one is only used when the ones before
//! it are well filled: few messages share one connection, many wait for none.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Client;

/// Messages under way on one connection before another one is used.
const WELL_FILLED: usize = 70;

/// HTTP clients with a connection each. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections {
    first: Client,
    all: Arc<[Connection]>,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    under_way: AtomicUsize,
}

impl From<Client> for Connections {
    /// One client, and so one connection.
    fn from(client: Client) -> Self {
        Self::new(client, [])
    }
}

impl Connections {
    /// A connection for each of these clients, which must have been built apart: clones share one.
    pub fn new(first: Client, others: impl IntoIterator<Item = Client>) -> Self {
        let all = std::iter::once(first.clone()).chain(others);
        let all = all.map(|client| Connection { client, under_way: AtomicUsize::new(0) });
        Self { first, all: all.collect() }
    }

    /// For requests that are no messages.
    pub(super) fn first(&self) -> Client {
        self.first.clone()
    }

    /// The connection for one message, as long as what is answered lives.
    pub(super) fn pick(&self) -> Picked<'_> {
        let room = self.all.iter().find(|connection| connection.enter_below(WELL_FILLED));
        if let Some(connection) = room {
            return Picked { client: &connection.client, under_way: Some(&connection.under_way) };
        }
        let emptiest = self.all.iter().min_by_key(|connection| connection.under_way.load(Ordering::Relaxed));
        let under_way = emptiest.map(|connection| &connection.under_way);
        if let Some(count) = under_way {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Picked { client: emptiest.map_or(&self.first, |connection| &connection.client), under_way }
    }
}

impl Connection {
    fn enter_below(&self, most: usize) -> bool {
        let enter = |count| (count < most).then_some(count + 1);
        self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).is_ok()
    }
}

/// A client with one message more under way.
pub(super) struct Picked<'a> {
    client: &'a Client,
    under_way: Option<&'a AtomicUsize>,
}

impl Deref for Picked<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}

impl Drop for Picked<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.under_way {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under_way(connections: &Connections) -> Vec<usize> {
        connections.all.iter().map(|connection| connection.under_way.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn a_connection_is_filled_before_the_next_one_is_used_and_beyond_that_all_take_their_share() {
        let connections = Connections::new(Client::new(), [Client::new(), Client::new()]);
        let mut messages: Vec<_> = (0..70).map(|_| connections.pick()).collect();
        assert_eq!(under_way(&connections), [70, 0, 0]);
        messages.push(connections.pick());
        assert_eq!(under_way(&connections), [70, 1, 0]);
        messages.extend((0..169).map(|_| connections.pick()));
        assert_eq!(under_way(&connections), [80, 80, 80]);
        messages.clear();
        assert_eq!(under_way(&connections), [0, 0, 0]);
    }
}
