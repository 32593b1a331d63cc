//! Many queues in one store: first in, first out, without a move or a neighbour to touch for what comes and goes.
//!
//! Items lie in chunks of about a line of the cache, which a queue takes when it grows and gives back when it shrinks. So
//! a queue is read and written in order, and what all of them waste together is half a chunk a queue.

#![expect(clippy::indexing_slicing, reason = "every index is of a chunk or a queue that this file made")]

const NONE: u32 = u32::MAX;

/// `N` items of one queue.
#[derive(Debug, Clone, Copy)]
struct Chunk<T, const N: usize> {
    items: [T; N],
    /// The chunk behind it in its queue, or in the list of unused ones.
    next: u32,
}

/// One queue: its chunks, how much of the first is taken and of the last is filled.
#[derive(Debug, Clone, Copy)]
struct Ends {
    head: u32,
    tail: u32,
    taken: u32,
    filled: u32,
}

const EMPTY: Ends = Ends { head: NONE, tail: NONE, taken: 0, filled: 0 };

/// A fixed number of queues of `T`.
#[derive(Debug)]
pub(super) struct Lists<T, const N: usize> {
    chunks: Vec<Chunk<T, N>>,
    unused: u32,
    ends: Vec<Ends>,
}

impl<T: Copy, const N: usize> Lists<T, N> {
    /// So many empty queues.
    pub(super) fn new(count: usize) -> Self {
        Self { chunks: Vec::new(), unused: NONE, ends: vec![EMPTY; count] }
    }

    /// Puts `item` at the end of queue `list`.
    pub(super) fn push(&mut self, list: usize, item: T) {
        let Ends { tail, filled, .. } = self.ends[list];
        if tail != NONE && (filled as usize) < N {
            self.chunks[tail as usize].items[filled as usize] = item;
            self.ends[list].filled += 1;
            return;
        }
        let chunk = self.chunk(item);
        let ends = &mut self.ends[list];
        (ends.tail, ends.filled) = (chunk, 1);
        if tail == NONE {
            ends.head = chunk;
        } else {
            self.chunks[tail as usize].next = chunk;
        }
    }

    /// The item that is first in queue `list`.
    pub(super) fn first(&self, list: usize) -> Option<T> {
        let Ends { head, taken, .. } = self.ends[list];
        (head != NONE).then(|| self.chunks[head as usize].items[taken as usize])
    }

    /// Takes the first item out of queue `list`.
    pub(super) fn pop(&mut self, list: usize) -> Option<T> {
        let item = self.first(list)?;
        let ends = &mut self.ends[list];
        ends.taken += 1;
        let all = if ends.head == ends.tail { ends.filled as usize } else { N };
        if ends.taken as usize == all {
            let chunk = ends.head;
            let next = std::mem::replace(&mut self.chunks[chunk as usize].next, self.unused);
            self.unused = chunk;
            *ends = if next == NONE { EMPTY } else { Ends { head: next, taken: 0, ..*ends } };
        }
        Some(item)
    }

    /// A chunk that begins with `item`, behind which there is none.
    fn chunk(&mut self, item: T) -> u32 {
        let fresh = Chunk { items: [item; N], next: NONE };
        if self.unused == NONE {
            self.chunks.push(fresh);
            return u32::try_from(self.chunks.len() - 1).unwrap_or(NONE);
        }
        let chunk = self.unused;
        self.unused = std::mem::replace(&mut self.chunks[chunk as usize], fresh).next;
        chunk
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn are_queues_and_use_their_chunks_again(steps in prop::collection::vec((0..4_usize, 0..3_u8), 1..400)) {
            let mut lists = Lists::<u32, 3>::new(4);
            let mut model = vec![VecDeque::new(); 4];
            let (mut most, mut number) = (0, 0);
            for (list, step) in steps {
                if step == 0 {
                    prop_assert_eq!(lists.pop(list), model[list].pop_front());
                } else {
                    number += 1;
                    lists.push(list, number);
                    model[list].push_back(number);
                }
                prop_assert_eq!(lists.first(list), model[list].front().copied());
                // A queue may waste parts of two chunks.
                most = most.max(model.iter().map(|queue| queue.len().div_ceil(3) + 1).sum());
                prop_assert!(lists.chunks.len() <= most);
            }
        }
    }
}
