//! Things stored once: a state of the search is a handful of their numbers, so it is cheap to copy, to compare and to hash.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use crate::exchange::Exchange;

/// A hasher that is quick and the same in every run.
#[derive(Default)]
pub(crate) struct Quick(u64);

impl Quick {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }
}

/// A map with that hasher.
pub(crate) type Map<K, V> = HashMap<K, V, BuildHasherDefault<Quick>>;

/// A set with it.
pub(crate) type Set<K> = HashSet<K, BuildHasherDefault<Quick>>;

/// Values and their numbers, which begin at 1: 0 is "nothing".
pub(crate) struct Store<T> {
    items: Vec<Rc<T>>,
    ids: Map<Rc<T>, u32>,
    exchanged: Map<u32, u32>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { items: Vec::new(), ids: Map::default(), exchanged: Map::default() }
    }
}

impl<T: Hash + Eq> Store<T> {
    /// The number of a value.
    pub(crate) fn id(&mut self, value: T) -> u32 {
        if let Some(id) = self.ids.get(&value) {
            return *id;
        }
        let value = Rc::new(value);
        self.items.push(Rc::clone(&value));
        let id = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.ids.insert(value, id);
        id
    }

    /// The value of a number; `None` for 0.
    pub(crate) fn get(&self, id: u32) -> Option<&Rc<T>> {
        self.items.get((id as usize).wrapping_sub(1))
    }
}

impl<T: Hash + Eq + Exchange> Store<T> {
    /// The number of the same value with the tasks exchanged.
    pub(crate) fn exchanged(&mut self, id: u32) -> u32 {
        if let Some(known) = self.exchanged.get(&id) {
            return *known;
        }
        let Some(value) = self.get(id).map(|value| value.exchanged()) else { return 0 };
        let other = self.id(value);
        self.exchanged.extend([(id, other), (other, id)]);
        other
    }
}

/// What stands for some numbers. Two of a hundred million states share one with a probability below 10^-22. As two words and not as one of 128 bits,
/// which is aligned to 16 bytes: the table of all states would be a third larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint([u64; 2]);

/// One half of it is as good as a hash of it.
impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0[0]);
    }
}

/// The fingerprint of some numbers.
pub(crate) fn fingerprint(words: &[u32]) -> Fingerprint {
    let (mut low, mut high) = (Quick(1), Quick(0x1234_5678_9abc_def1));
    for pair in words.chunks(2) {
        let word = pair.iter().fold(0_u64, |word, part| word << 32 | u64::from(*part));
        low.mix(word);
        high.mix(word.rotate_left(29) ^ 0x5bd1_e995_ac4f_4b13);
    }
    Fingerprint([low.0, high.0])
}
