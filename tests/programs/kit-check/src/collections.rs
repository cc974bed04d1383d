//! The collections programs use. Memory is scarce in the virtual machine (32 kB, never
//! freed), so these are small.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};

use crate::transcript::{Random, Transcript};

pub fn maps(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut hashed = HashMap::new();
    let mut ordered = BTreeMap::new();
    let mut set = BTreeSet::new();
    for i in 0..60u64 {
        let key = random.below(40);
        *hashed.entry(key).or_insert(0u64) += i;
        ordered.entry(format!("k{key}")).or_insert_with(Vec::new).push(i);
        out.bool(set.insert((key % 7, key)));
    }
    ordered.remove("k3");
    hashed.retain(|_, value| *value % 5 != 0);
    // A hash map's order is its own affair.
    let mut entries: Vec<_> = hashed.into_iter().collect();
    entries.sort_unstable();
    for (key, value) in entries {
        out.u64(key);
        out.u64(value);
    }
    for (key, values) in ordered.range("k2".to_owned()..) {
        out.str(key);
        out.u64(values.iter().sum());
    }
    for (a, b) in set {
        out.u64(a << 32 | b);
    }
}

pub fn stable_sort(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut records: Vec<(u64, u32, String)> =
        (0..40).map(|i| (random.below(20), i, format!("{:x}", random.sized_u64()))).collect();
    records.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.2.cmp(&a.2)));
    for (key, position, text) in &records {
        out.u64(*key);
        out.u64(u64::from(*position));
        out.str(text);
    }
    records.sort_by_key(|record| record.1 % 3);
    records.iter().for_each(|record| out.u64(u64::from(record.1)));
    let mut wide: Vec<u128> = (0..100).map(|_| random.sized_u128()).collect();
    wide.sort();
    wide.iter().for_each(|value| out.u128(*value));
    out.u64(wide.binary_search(&wide[70]).unwrap_or(0) as u64);
    out.u64(wide.partition_point(|value| *value < 1 << 64) as u64);
}

pub fn unstable_sort(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut values: Vec<i64> = (0..150).map(|_| random.sized_u64() as i64).collect();
    values.sort_unstable();
    values.iter().for_each(|value| out.i64(*value));
    values.sort_unstable_by_key(|value| Reverse(*value as u8));
    values.iter().for_each(|value| out.u64(u64::from(*value as u8)));
    let mut keys: Vec<[u8; 32]> =
        (0..20).map(|_| std::array::from_fn(|_| random.below(3) as u8)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.iter().for_each(|key| out.bytes(key));
    let (_, median, _) = values.select_nth_unstable(75);
    out.i64(*median);
}

pub fn queues(seed: u64, out: &mut Transcript) {
    let mut random = Random::new(seed);
    let mut heap = BinaryHeap::new();
    let mut queue = VecDeque::with_capacity(8);
    for _ in 0..60 {
        let value = random.below(1000);
        heap.push(Reverse(value));
        if value.is_multiple_of(3) {
            queue.push_front(value);
        } else {
            queue.push_back(value);
        }
        if value.is_multiple_of(4) {
            out.u64(heap.pop().map_or(1, |Reverse(least)| least));
            out.u64(queue.pop_back().unwrap_or(2));
        }
    }
    queue.make_contiguous().iter().for_each(|value| out.u64(*value));
    heap.into_sorted_vec().iter().for_each(|Reverse(value)| out.u64(*value));
    let mut vector: Vec<u16> = (0..50).map(|_| random.u64() as u16).collect();
    vector.retain(|value| value % 3 != 0);
    vector.insert(3, 77);
    vector.drain(5..9).for_each(|value| out.u64(u64::from(value)));
    vector.extend_from_within(..4);
    vector.chunks(3).for_each(|chunk| out.u64(chunk.iter().map(|v| u64::from(*v)).sum()));
    vector.windows(2).for_each(|pair| out.bool(pair[0] < pair[1]));
}
