//! Whether what several clients saw of one key can be explained by one object that changes step by step.
//!
//! This is the search of Wing and Gong: choose, of the operations that nothing unexplained ended before, one that the object's state allows,
//! and go on with the rest. As Lowe proposed, it remembers which operations it had chosen in which state and doesn't go
//! there twice. Everything that is written has a number of its own, so few choices are open at a time.

use std::collections::HashSet;

/// Places that a search goes to before it gives up: some hundred megabytes, and far more than a history of some hundred operations takes whose
/// clients are few.
const MAX_PLACES: usize = 2_000_000;

/// What an operation did or saw; written values have numbers, and `None` is a key under which nothing lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A put that replaces what is there.
    Put(u64),
    /// A create-only put that succeeded.
    Created(u64),
    /// A create-only put of which it isn't known whether the key was free.
    PerhapsCreated(u64),
    /// A create-only put that was told that the key is taken.
    Refused,
    /// A delete.
    Delete,
    /// A read, and which value it saw.
    Saw(Option<u64>),
}

/// One operation of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// Who did it; for messages only.
    pub client: usize,
    /// When it began, on any clock that all clients share.
    pub began: u64,
    /// When its success was known. `None` where it failed without saying whether it took effect: it then may do so at any time after its
    /// beginning, or never.
    pub ended: Option<u64>,
    /// What it did.
    pub effect: Effect,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// There is an order that explains everything.
    Linearizable,
    /// There is none. These operations, given as places in the history, are as many as could be put in order, and the others are what none of them
    /// explains.
    Impossible {
        /// The longest order that was found.
        explained: Vec<usize>,
        /// Those that could have come next and did not fit, with the state that they met.
        unexplained: Vec<usize>,
        /// What lay under the key before them.
        state: Option<u64>,
    },
    /// The search took too long.
    Undecided,
}

/// Looks for an order of the operations that one object explains which holds `initial` at first.
///
/// Of two operations, one comes before the other when it ended before the other began; otherwise both orders are tried.
pub fn judge(initial: Option<u64>, history: &[Operation]) -> Judgement {
    Search::new(history).run(initial, MAX_PLACES)
}

impl Effect {
    /// What lies under the key afterwards, or `Err` when it can't have been like this in that state.
    fn after(self, state: Option<u64>) -> Result<Option<u64>, ()> {
        match (self, state) {
            (Self::Put(value), _) | (Self::Created(value) | Self::PerhapsCreated(value), None) => Ok(Some(value)),
            (Self::PerhapsCreated(_) | Self::Refused, Some(_)) => Ok(state),
            (Self::Delete, _) => Ok(None),
            (Self::Saw(seen), _) if seen == state => Ok(state),
            (Self::Created(_), Some(_)) | (Self::Refused, None) | (Self::Saw(_), _) => Err(()),
        }
    }
}

/// Which operations are in order already, one bit each.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Chosen(Vec<u64>);

impl Chosen {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn flip(&mut self, at: usize) {
        self.0[at / 64] ^= 1 << (at % 64);
    }
}

struct Search<'a> {
    history: &'a [Operation],
    /// Places in the history by beginning.
    by_beginning: Vec<usize>,
    chosen: Chosen,
    /// Those chosen in order, each with the state before it and how many candidates had been tried by then.
    path: Vec<(usize, Option<u64>, usize)>,
    been: HashSet<(Chosen, Option<u64>)>,
}

impl<'a> Search<'a> {
    fn new(history: &'a [Operation]) -> Self {
        let mut by_beginning: Vec<usize> = (0..history.len()).collect();
        by_beginning.sort_by_key(|at| history[*at].began);
        let chosen = Chosen(vec![0; history.len().div_ceil(64)]);
        Self { history, by_beginning, chosen, path: Vec::new(), been: HashSet::new() }
    }

    /// Those that may come next: nothing that must come before them is left out.
    fn candidates(&self) -> Vec<usize> {
        let left = || self.by_beginning.iter().copied().filter(|at| !self.chosen.has(*at));
        let first_end = left().filter_map(|at| self.history[at].ended).min().unwrap_or(u64::MAX);
        left().take_while(|at| self.history[*at].began <= first_end).collect()
    }

    /// Whether all that is left may never have taken effect.
    fn is_done(&self) -> bool {
        (0..self.history.len()).all(|at| self.chosen.has(at) || self.history[at].ended.is_none())
    }

    fn run(mut self, initial: Option<u64>, max_places: usize) -> Judgement {
        let mut state = initial;
        let mut tried = 0;
        let mut best: Option<(Vec<usize>, Vec<usize>, Option<u64>)> = None;
        loop {
            if self.is_done() {
                return Judgement::Linearizable;
            }
            let candidates = self.candidates();
            let definite = self.path.iter().filter(|(at, _, _)| self.history[*at].ended.is_some()).count();
            let longest = best
                .as_ref()
                .map_or(0, |(path, _, _)| path.iter().filter(|at| self.history[**at].ended.is_some()).count());
            if tried == 0 && (best.is_none() || definite > longest) {
                best = Some((self.path.iter().map(|step| step.0).collect(), candidates.clone(), state));
            }
            let next = candidates.iter().enumerate().skip(tried).find_map(|(number, at)| {
                let after = self.history[*at].effect.after(state).ok()?;
                let mut chosen = self.chosen.clone();
                chosen.flip(*at);
                self.been.insert((chosen, after)).then_some((number, *at, after))
            });
            if self.been.len() > max_places {
                return Judgement::Undecided;
            }
            match next {
                Some((number, at, after)) => {
                    self.path.push((at, state, number + 1));
                    self.chosen.flip(at);
                    (state, tried) = (after, 0);
                }
                None => {
                    let Some((at, before, next)) = self.path.pop() else {
                        let (explained, unexplained, state) = best.unwrap_or_default();
                        return Judgement::Impossible { explained, unexplained, state };
                    };
                    self.chosen.flip(at);
                    (state, tried) = (before, next);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
