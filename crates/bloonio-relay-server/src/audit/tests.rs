use bloonio_wire::random::SeededRandom;
use proptest::prelude::*;
use rstest::rstest;

use super::verify::{Break, Problem, Walk};
use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);

fn tenant(seed: u64) -> TenantId {
    TenantId::draw(&SeededRandom::new(seed)).unwrap()
}

fn chain(length: i64) -> Vec<Entry> {
    let mut head = Head::empty(Chain::Tenant(tenant(1)));
    let mut entries = Vec::new();
    for number in 0..length {
        let event = Event::new(Kind::PromptAsked, format!("s{number}")).with("n", number).with("of", "this");
        let entry = event.follow(&head, NOW);
        head = entry.head();
        entries.push(entry);
    }
    entries
}

fn walk(entries: &[Entry], end: &Head, kept: &[Head]) -> Result<Head, Break> {
    let mut walk = Walk::new(Chain::Tenant(tenant(1)), kept);
    entries.iter().try_for_each(|entry| walk.step(entry))?;
    walk.finish(end)
}

fn problem(entries: &[Entry], end: &Head, kept: &[Head]) -> (i64, Problem) {
    let Break { seq, problem, .. } = walk(entries, end, kept).unwrap_err();
    (seq, problem)
}

#[test]
fn a_chain_as_it_was_written_holds() {
    let entries = chain(5);
    let end = entries[4].head();
    assert_eq!(walk(&entries, &end, &[entries[1].head(), end.clone(), entries[1].head()]), Ok(end));
    let empty = Head::empty(Chain::Tenant(tenant(1)));
    assert_eq!(walk(&[], &empty, &[]), Ok(empty));
}

#[rstest]
#[case::chain(|e: &mut Entry| e.chain = Chain::Tenant(tenant(2)))]
#[case::time(|e: &mut Entry| e.at = NOW.plus(std::time::Duration::from_millis(1)))]
#[case::kind(|e: &mut Entry| e.kind = Kind::PromptCancelled.as_str().to_owned())]
#[case::subject(|e: &mut Entry| e.subject.push('x'))]
#[case::details(|e: &mut Entry| e.details = e.details.replace("this", "that"))]
#[case::previous(|e: &mut Entry| e.prev_hash[0] ^= 1)]
#[case::hash(|e: &mut Entry| e.hash[31] ^= 1)]
fn an_entry_that_was_changed_is_found(#[case] change: fn(&mut Entry)) {
    let mut entries = chain(5);
    let end = entries[4].head();
    change(&mut entries[2]);
    assert_eq!(problem(&entries, &end, &[]), (3, Problem::Changed));
}

#[test]
fn an_entry_that_was_written_anew_no_longer_carries_what_follows() {
    let mut entries = chain(5);
    let end = entries[4].head();
    entries[2].subject.push('x');
    entries[2].hash = entries[2].digest();
    assert_eq!(problem(&entries, &end, &[]), (4, Problem::Unlinked));
    // Nor does a chain that was written anew as a whole pass for the one whose head was kept.
    let kept = chain(5)[3].head();
    for index in 3..5 {
        entries[index].prev_hash = entries[index - 1].hash;
        entries[index].hash = entries[index].digest();
    }
    let end = entries[4].head();
    assert!(walk(&entries, &end, &[]).is_ok());
    assert_eq!(problem(&entries, &end, &[kept]), (4, Problem::NotAsKept));
}

#[test]
fn entries_that_are_gone_are_found() {
    let entries = chain(5);
    let end = entries[4].head();
    let without = |index: usize| [&entries[..index], &entries[index + 1..]].concat();
    assert_eq!(problem(&without(0), &end, &[]), (1, Problem::Missing));
    assert_eq!(problem(&without(2), &end, &[]), (3, Problem::Missing));
    assert_eq!(problem(&entries[..4], &end, &[]), (5, Problem::Missing));
    assert_eq!(problem(&[], &end, &[]), (1, Problem::Missing));
    // With the stored end set back, too, a kept head tells.
    let cut = entries[2].head();
    assert!(walk(&entries[..3], &cut, &[]).is_ok());
    assert_eq!(problem(&entries[..3], &cut, std::slice::from_ref(&end)), (5, Problem::Missing));
    let mut exchanged = entries.clone();
    exchanged.swap(1, 2);
    assert_eq!(problem(&exchanged, &end, &[]), (2, Problem::Missing));
    (exchanged[1].seq, exchanged[2].seq) = (2, 3);
    assert_eq!(problem(&exchanged, &end, &[]), (2, Problem::Changed));
    // More than was said to be there.
    assert_eq!(problem(&entries, &entries[3].head(), &[]), (5, Problem::NotTheEnd));
}

#[test]
fn a_head_is_read_as_it_is_written() {
    for head in [chain(3)[2].head(), Head::empty(Chain::Operator)] {
        assert_eq!(head.to_string().parse(), Ok(head));
    }
    let hash = "0".repeat(64);
    for bad in ["", "operator", "operator 1", "operator -1 ", "nobody 1 00", "operator 1 00", "operator x"] {
        assert_eq!(bad.parse::<Head>(), Err(NotAHead), "{bad}");
        assert_eq!(format!("{bad} {hash} x").parse::<Head>(), Err(NotAHead), "{bad}");
    }
}

#[test]
fn kinds_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(names.len(), Kind::ALL.len());
}

#[test]
fn the_hash_of_an_entry_never_changes_from_version_to_version() {
    // Computed apart from this code: SHA-256 over the parts, each behind eight bytes of length.
    let entry = Event::new(Kind::TenantSuspended, "s").with("a", 1).follow(&Head::empty(Chain::Operator), NOW);
    assert_eq!(hex::encode(entry.hash), "ad0a8118d4ee629dd24a951dab9bf04aa91b35e1baa53db29e4f9443b7982bd8");
}

#[test]
fn the_same_name_at_two_tenants_is_two_subjects() {
    assert_ne!(digest_of(&tenant(1), "instruction-1"), digest_of(&tenant(2), "instruction-1"));
    assert!(!digest_of(&tenant(1), "instruction-1").contains("instruction"));
}

proptest! {
    #[test]
    fn different_entries_never_hash_alike(a: (String, String, i64), b: (String, String, i64)) {
        let hash = |(subject, detail, at): &(String, String, i64)| {
            let event = Event::new(Kind::Decision, subject.clone()).with("d", detail.clone());
            event.follow(&Head::empty(Chain::Operator), Timestamp::from_millis(*at)).hash
        };
        prop_assert_eq!(a == b, hash(&a) == hash(&b));
    }
}
