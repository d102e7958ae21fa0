//! What callers were told, and how far the run is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use bloonio_wire::clock::{Clock, SystemClock, Timestamp};
use tokio::sync::watch;

use crate::operator::Answer;

/// What a device was told of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// 200: it is durable.
    Recorded,
    /// 409: somebody was faster, or it was itself, and the answer got lost.
    AlreadyDecided,
}

/// What is known of one prompt.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The backend's definite answer: whether a device or more got it.
    pub delivered: Option<bool>,
    /// What devices wanted, and what they were told.
    pub told: Vec<(bool, Told)>,
    /// When the first of them was told.
    pub over_at: Option<Timestamp>,
}

/// How far the run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Prompts that a backend knows to be stored.
    pub asked: usize,
    /// Prompts that a device knows to be decided.
    pub decided: usize,
    /// Calls whose answer never came.
    pub lost: usize,
    /// Calls that were answered 503.
    pub unavailable: usize,
    /// Whether every prompt was asked and answered.
    pub over: bool,
}

#[derive(Debug, Default)]
struct Book {
    prompts: Vec<Known>,
    answers: BTreeMap<String, u64>,
    strange: Vec<String>,
}

/// The record of a run.
#[derive(Debug)]
pub struct Ledger {
    book: Mutex<Book>,
    progress: watch::Sender<Progress>,
}

impl Ledger {
    /// An empty record for so many prompts.
    pub fn new(prompts: usize) -> Self {
        let book = Book { prompts: vec![Known::default(); prompts], ..Book::default() };
        Self { book: Mutex::new(book), progress: watch::Sender::new(Progress::default()) }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no test has panicked in here")
    }

    /// The answer to a call, which is noted with its route.
    pub fn answered(&self, route: &str, answer: &Answer) {
        let code = if answer.error().is_empty() { "-" } else { answer.error() };
        *self.book().answers.entry(format!("{route} {} {code}", answer.status)).or_default() += 1;
        if answer.status == 503 {
            self.progress.send_modify(|progress| progress.unavailable += 1);
        }
    }

    /// No answer came.
    pub fn lost(&self, route: &str) {
        *self.book().answers.entry(format!("{route} - no answer")).or_default() += 1;
        self.progress.send_modify(|progress| progress.lost += 1);
    }

    /// Something that nobody should be told.
    pub fn strange(&self, what: String) {
        self.book().strange.push(what);
    }

    /// A backend knows that its prompt is stored.
    pub fn asked(&self, number: usize, delivered: bool) {
        self.book().prompts[number].delivered = Some(delivered);
        self.progress.send_modify(|progress| progress.asked += 1);
    }

    /// A device knows that a prompt is decided.
    pub fn told(&self, number: usize, approved: bool, told: Told) {
        let mut book = self.book();
        let known = &mut book.prompts[number];
        known.told.push((approved, told));
        if known.over_at.is_none() {
            known.over_at = Some(SystemClock.now());
            drop(book);
            self.progress.send_modify(|progress| progress.decided += 1);
        }
    }

    /// Every prompt was asked and answered.
    pub fn over(&self) {
        self.progress.send_modify(|progress| progress.over = true);
    }

    /// How far the run is.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until the run is so far, or over.
    pub async fn wait_for(&self, far_enough: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        // The sender lives as long as this record does.
        let _ = progress.wait_for(|progress| progress.over || far_enough(progress)).await;
    }

    /// What is known of a prompt.
    pub fn known(&self, number: usize) -> Known {
        self.book().prompts[number].clone()
    }

    /// Answers by route, status and code, and what nobody should have been told.
    pub fn answers(&self) -> (BTreeMap<String, u64>, Vec<String>) {
        let book = self.book();
        (book.answers.clone(), book.strange.clone())
    }
}
