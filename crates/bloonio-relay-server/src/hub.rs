//! Wake-ups: a change wakes whoever waits for it, without polling, here and on the other instances.
//!
//! A wake-up is a hint. Whoever is woken reads the storage again; whoever subscribes reads once *after* subscribing. Where
//! wake-ups of other instances may be missed, whoever waits is told to read everything again ([`Reach`]).

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::shared::Shared;
use crate::shared::herald::Herald;
use crate::shared::reach::{Reach, Watch};
use crate::shared::wake::Wake;

/// More unread wake-ups than this are folded into one "you missed some", which is treated as a wake-up.
const BACKLOG: usize = 64;
/// Those who have to read everything again are spread over so many milliseconds, evenly: a prime, so that a step that
/// shares no factor with it visits them all.
const SPREAD_MS: u64 = 997;
const SPREAD_STEP: u64 = 389;

/// Wakes the subscribers of a key.
#[derive(Debug)]
pub struct Hub<K, V> {
    channels: Arc<Mutex<HashMap<K, broadcast::Sender<V>>>>,
    reach: Reach,
    /// Tells the other instances, and how.
    told: Option<(Herald, Words<K, V>)>,
    subscribed: Arc<AtomicU64>,
}

/// What the other instances are told of a wake-up.
type Words<K, V> = fn(&K, &V) -> Wake;

impl<K, V> Clone for Hub<K, V> {
    fn clone(&self) -> Self {
        Self {
            channels: Arc::clone(&self.channels),
            reach: self.reach.clone(),
            told: self.told.clone(),
            subscribed: Arc::clone(&self.subscribed),
        }
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Default for Hub<K, V> {
    fn default() -> Self {
        Self { channels: Arc::default(), reach: Reach::default(), told: None, subscribed: Arc::default() }
    }
}

/// A place in a hub; leaving it cleans up.
#[derive(Debug)]
pub struct Subscription<K: Eq + Hash, V> {
    key: K,
    channels: Arc<Mutex<HashMap<K, broadcast::Sender<V>>>>,
    receiver: Option<broadcast::Receiver<V>>,
    watch: Watch,
}

fn lock<K, V>(channels: &Mutex<HashMap<K, V>>) -> MutexGuard<'_, HashMap<K, V>> {
    channels.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash + Clone, V: Clone> Hub<K, V> {
    /// A hub that tells the other instances in `words`.
    pub fn across(shared: &Shared, words: Words<K, V>) -> Self {
        let told = Some((shared.herald().clone(), words));
        Self { reach: shared.reach().clone(), told, ..Self::default() }
    }

    /// Waits for wake-ups of `key` from now on.
    pub fn subscribe(&self, key: K) -> Subscription<K, V> {
        let mut channels = lock(&self.channels);
        let sender = channels.entry(key.clone()).or_insert_with(|| broadcast::channel(BACKLOG).0);
        let receiver = Some(sender.subscribe());
        let number = self.subscribed.fetch_add(1, Ordering::Relaxed);
        let apart = Duration::from_millis(number.wrapping_mul(SPREAD_STEP) % SPREAD_MS);
        Subscription { key, channels: Arc::clone(&self.channels), receiver, watch: self.reach.watch(apart) }
    }

    /// Wakes everybody who waits for `key`, on every instance.
    pub fn wake(&self, key: &K, value: V) {
        if let Some((herald, words)) = &self.told {
            herald.tell(words(key, &value));
        }
        self.wake_here(key, value);
    }

    /// Wakes everybody who waits for `key` on this instance.
    pub fn wake_here(&self, key: &K, value: V) {
        if let Some(sender) = lock(&self.channels).get(key) {
            // Nobody listening is no failure: a wake-up is a hint.
            let _ = sender.send(value);
        }
    }

    /// Wakes everybody who waits for a key that `matches`, on this instance.
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
    /// The next wake-up; `None` means that some were missed, or may have been: read everything again.
    pub async fn woken(&mut self) -> Option<V> {
        let Some(receiver) = &mut self.receiver else { return std::future::pending().await };
        tokio::select! {
            biased;
            woken = receiver.recv() => woken.ok(),
            () = self.watch.worth_looking() => None,
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

    #[tokio::test(start_paused = true)]
    async fn where_others_are_not_heard_whoever_waits_reads_again() {
        let hub = Hub::<&str, Wake>::across(&Shared::by_database(), |_, wake| wake.clone());
        let mut waiting = hub.subscribe("x");
        assert_eq!(waiting.woken().await, None);
        hub.wake(&"x", Wake::Outbox);
        assert_eq!(waiting.woken().await, Some(Wake::Outbox));
        assert_eq!(waiting.woken().await, None);
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
