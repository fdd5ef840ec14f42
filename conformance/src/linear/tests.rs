use super::*;

/// `(began, ended, effect)`, with 0 for an end that is not known.
fn history(operations: &[(u64, u64, Effect)]) -> Vec<Operation> {
    let operation = |(client, &(began, ended, effect)): (usize, &(u64, u64, Effect))| Operation {
        client,
        began,
        ended: (ended > 0).then_some(ended),
        effect,
    };
    operations.iter().enumerate().map(operation).collect()
}

fn explained(operations: &[(u64, u64, Effect)]) -> bool {
    let history = history(operations);
    let judgement = judge(None, &history);
    assert_ne!(judgement, Judgement::Undecided);
    let linearizable = judgement == Judgement::Linearizable;
    assert_eq!(linearizable, some_order_fits(None, &history), "the search and the trial of every order disagree");
    linearizable
}

/// The same by trying every order of every choice of those that may have failed.
fn some_order_fits(state: Option<u64>, left: &[Operation]) -> bool {
    if left.iter().all(|operation| operation.ended.is_none()) {
        return true;
    }
    left.iter().enumerate().any(|(at, operation)| {
        let first = left.iter().all(|other| other.ended.is_none_or(|ended| ended >= operation.began));
        let mut rest = left.to_vec();
        rest.remove(at);
        first && operation.effect.after(state).is_ok_and(|after| some_order_fits(after, &rest))
    })
}

use Effect::{Created, Delete, PerhapsCreated, Put, Refused, Saw};

#[test]
fn one_after_the_other_reads_see_the_last_write() {
    assert!(explained(&[(1, 2, Put(1)), (3, 4, Saw(Some(1))), (5, 6, Put(2)), (7, 8, Saw(Some(2)))]));
    assert!(!explained(&[(1, 2, Put(1)), (3, 4, Put(2)), (5, 6, Saw(Some(1)))]));
    assert!(!explained(&[(1, 2, Put(1)), (3, 4, Saw(None))]));
    assert!(!explained(&[(1, 2, Saw(Some(1))), (3, 4, Put(1))]));
}

#[test]
fn what_runs_at_once_may_come_in_either_order_but_in_one() {
    let writers = [(1, 10, Put(1)), (2, 9, Put(2))];
    for last in [1, 2] {
        assert!(explained(&[writers[0], writers[1], (11, 12, Saw(Some(last)))]));
    }
    // Two readers that disagree about the order.
    assert!(!explained(&[writers[0], writers[1], (11, 12, Saw(Some(1))), (13, 14, Saw(Some(2)))]));
    // Readers meanwhile may see either, but not back and forth.
    assert!(explained(&[(1, 20, Put(1)), (2, 20, Put(2)), (3, 4, Saw(Some(2))), (5, 6, Saw(Some(1)))]));
    assert!(!explained(&[
        (1, 20, Put(1)),
        (2, 20, Put(2)),
        (3, 4, Saw(Some(2))),
        (5, 6, Saw(Some(1))),
        (7, 8, Saw(Some(2)))
    ]));
}

#[test]
fn creates_succeed_once_until_a_delete() {
    assert!(explained(&[(1, 5, Created(1)), (2, 6, Refused), (7, 8, Delete), (9, 10, Created(2))]));
    assert!(!explained(&[(1, 5, Created(1)), (2, 6, Created(2))]));
    assert!(!explained(&[(1, 2, Refused), (3, 4, Created(1))]));
    // Refused while the delete was under way.
    assert!(explained(&[(1, 2, Put(1)), (3, 6, Delete), (4, 5, Refused), (7, 8, Saw(None))]));
}

#[test]
fn a_deleted_object_does_not_come_back() {
    assert!(!explained(&[(1, 2, Put(1)), (3, 4, Delete), (5, 6, Saw(None)), (7, 8, Saw(Some(1)))]));
    // A put that runs as long as both reads can't have come before one and after the other.
    assert!(!explained(&[(1, 10, Put(1)), (2, 3, Saw(Some(1))), (4, 5, Saw(None)), (6, 7, Saw(Some(1)))]));
}

#[test]
fn what_failed_may_have_taken_effect_late_or_never_but_not_twice() {
    let lost = (3, 0, Put(2));
    assert!(explained(&[(1, 2, Put(1)), lost, (5, 6, Saw(Some(1))), (7, 8, Saw(Some(2)))]));
    assert!(explained(&[(1, 2, Put(1)), lost, (5, 6, Saw(Some(1))), (7, 8, Saw(Some(1)))]));
    assert!(!explained(&[(1, 2, Put(1)), lost, (5, 6, Saw(Some(2))), (7, 8, Saw(Some(1)))]));
    assert!(!explained(&[(1, 2, Saw(Some(2))), lost]), "not before it began");
    // A create that was lost and found the key taken changes nothing.
    let create = (1, 0, PerhapsCreated(1));
    assert!(explained(&[create, (2, 3, Saw(Some(1))), (4, 5, Refused)]));
    assert!(explained(&[create, (2, 3, Created(2)), (4, 5, Saw(Some(2)))]));
    assert!(!explained(&[create, (2, 3, Created(2)), (4, 5, Saw(Some(1)))]));
    assert!(explained(&[create, (2, 3, Created(2)), (4, 5, Delete), (6, 7, Saw(Some(1)))]));
}

#[test]
fn what_does_not_fit_is_told() {
    let history = history(&[(1, 2, Put(1)), (3, 4, Put(2)), (5, 6, Saw(Some(1)))]);
    let expected = Judgement::Impossible { explained: vec![0, 1], unexplained: vec![2], state: Some(2) };
    assert_eq!(judge(None, &history), expected);
}

#[test]
fn a_search_that_takes_too_long_says_so() {
    let mut all: Vec<_> = (0..30).map(|number| (1, 100, Put(number))).collect();
    all.push((101, 102, Saw(Some(99))));
    assert_eq!(Search::new(&history(&all)).run(None, 1_000), Judgement::Undecided);
}

/// Small histories of a store that is right are explained; the same with one read changed are judged as by trying every order.
#[test]
fn the_search_agrees_with_the_trial_of_every_order() {
    let mut random = crate::random::Random::new(20_261_122);
    let (mut possible, mut impossible) = (0, 0);
    for _ in 0..2_000 {
        // Each operation takes effect at a moment between its beginning and its end.
        let mut operations: Vec<(u64, u64, u64, usize)> = Vec::new();
        for kind in 0..7 {
            let moment = 10 + random.below(60);
            operations.push((moment, moment - random.below(10), moment + random.below(10), kind));
        }
        operations.sort_unstable();
        let mut state = None;
        let mut made = Vec::new();
        for (number, (_, began, ended, kind)) in (0..).zip(operations) {
            let effect = match (kind, state) {
                (0 | 1, _) => Put(number),
                (2, None) => Created(number),
                (2, Some(_)) => Refused,
                (3, _) => Delete,
                _ => Saw(state),
            };
            state = effect.after(state).unwrap();
            made.push((began, ended, effect));
        }
        assert!(explained(&made), "{made:?}");
        if let Some(read) = made.iter().position(|(_, _, effect)| matches!(effect, Saw(_))) {
            made[read].2 = Saw(Some(random.below(7)));
        }
        if explained(&made) { possible += 1 } else { impossible += 1 }
    }
    assert!(possible > 200 && impossible > 200, "{possible} possible, {impossible} impossible");
}
