//! In-process wake-ups: a change here wakes whoever waits for it, without polling.
//!
//! A wake-up is a hint. Whoever is woken reads the storage again; whoever subscribes reads once *after* subscribing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

/// More unread wake-ups than this are folded into one "you missed some", which is treated as a wake-up.
const BACKLOG: usize = 64;

/// Wakes the subscribers of a key.
#[derive(Debug)]
pub struct Hub<K, V> {
    channels: Arc<Mutex<HashMap<K, broadcast::Sender<V>>>>,
}

impl<K, V> Clone for Hub<K, V> {
    fn clone(&self) -> Self {
        Self { channels: Arc::clone(&self.channels) }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Default for Hub<K, V> {
    fn default() -> Self {
        Self { channels: Arc::default() }
    }
}

/// A place in a hub; leaving it cleans up.
#[derive(Debug)]
pub struct Subscription<K: Eq + Hash, V> {
    key: K,
    channels: Arc<Mutex<HashMap<K, broadcast::Sender<V>>>>,
    receiver: Option<broadcast::Receiver<V>>,
}

fn lock<K, V>(channels: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash + Clone, V: Clone> Hub<K, V> {
    /// Waits for wake-ups of `key` from now on.
    pub fn subscribe(&self, key: K) -> Subscription<K, V> {
        let mut channels = lock(&self.channels);
        let sender = channels.entry(key.clone()).or_insert_with(|| broadcast::channel(BACKLOG).0);
        let receiver = Some(sender.subscribe());
        Subscription { key, channels: Arc::clone(&self.channels), receiver }
    }

    /// Wakes everybody who waits for `key`.
    pub fn wake(&self, key: &K, value: V) {
        if let Some(sender) = lock(&self.channels).get(key) {
            // Nobody listening is no failure: a wake-up is a hint.
            let _ = sender.send(value);
        }
    }

    /// Wakes everybody who waits for a key that `matches`.
    pub fn wake_where(&self, matches: impl Fn(&K) -> bool, value: &V) {
        for (key, sender) in lock(&self.channels).iter() {
            if matches(key) {
                let _ = sender.send(value.clone());
            }
        }
    }

    /// How many subscribers `key` has.
    pub fn subscribers(&self, key: &K) -> usize {
        lock(&self.channels).get(key).map_or(0, broadcast::Sender::receiver_count)
    }
}

impl<K: Eq + Hash, V: Clone> Subscription<K, V> {
    /// The next wake-up; `None` means that some were missed: read everything again.
    pub async fn woken(&mut self) -> Option<V> {
        match &mut self.receiver {
            Some(receiver) => receiver.recv().await.ok(),
            None => std::future::pending().await,
        }
    }
}

impl<K: Eq + Hash, V> Drop for Subscription<K, V> {
    fn drop(&mut self) {
        let mut channels = lock(&self.channels);
        self.receiver = None;
        if channels.get(&self.key).is_some_and(|sender| sender.receiver_count() == 0) {
            channels.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn subscribers_of_the_key_are_woken_and_leave_nothing_behind() {
        let hub = Hub::<&str, u8>::default();
        let (mut a, mut b) = (hub.subscribe("x"), hub.subscribe("x"));
        let other = hub.subscribe("y");
        hub.wake(&"x", 1);
        assert_eq!((a.woken().await, b.woken().await), (Some(1), Some(1)));
        assert_eq!(hub.subscribers(&"x"), 2);
        drop((a, b, other));
        assert!(lock(&hub.channels).is_empty());
    }

    #[tokio::test]
    async fn a_slow_subscriber_learns_that_it_missed_some() {
        let hub = Hub::<&str, usize>::default();
        let mut slow = hub.subscribe("x");
        (0..BACKLOG + 5).for_each(|i| hub.wake(&"x", i));
        assert_eq!(slow.woken().await, None);
        assert!(slow.woken().await.is_some());
    }
}
