//! Which arrays of a pool have something in them: the only ones that exist, and the only
//! ones that its program goes to.
//!
//! The pool's own account holds one bit for each of the 1,024 arrays around zero, an extension those
//! of the rest, in rows of 512 that go away from the middle on either side.

use solana_address::Address;

use crate::{
    account::{Account, Accounts, Bytes, Kind, Known},
    error::VenueError,
};

/// Words of 64 arrays in a row.
const ROW_WORDS: usize = 8;
/// Arrays on either side of zero in the pool's own bitmap.
const OWN: i32 = (ROW_WORDS * 64) as i32;

/// How a program lays out its extension: a discriminator, the pool, then the rows above
/// the pool's own, and as many below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extension {
    pub kind: Kind,
    /// Rows on either side.
    pub rows: usize,
    /// Whether bits below zero count away from zero, and not from the row's lowest array.
    pub mirrored: bool,
}

impl Extension {
    /// Extensions of a program that begin with `first` and have so many rows.
    pub const fn of(program: Address, first: [u8; 8], rows: usize, mirrored: bool) -> Self {
        let kind = Kind::marked("bitmap extension", program, first, Self::len(rows));
        Self { kind, rows, mirrored }
    }

    /// Bytes of an extension with that many rows.
    pub const fn len(rows: usize) -> usize {
        8 + 32 + 2 * rows * ROW_WORDS * 8
    }
}

/// What is known of a pool's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// There is none.
    None,
    /// It was not read.
    Unread,
    /// It is there.
    There,
}

/// One bit for every array, from the lowest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bitmap(Vec<u64>);

impl Bitmap {
    /// From a pool's account, which holds the middle.
    pub fn of_pool(data: Bytes<'_>, at: usize, rows: usize) -> Self {
        let mut words = vec![0; (2 * rows + 2) * ROW_WORDS];
        for (n, word) in words[rows * ROW_WORDS..][..2 * ROW_WORDS].iter_mut().enumerate() {
            *word = data.u64(at + n * 8);
        }
        Self(words)
    }

    /// All that is known, with the extension at `key` if that was read.
    pub fn with_extension(
        &self,
        layout: &Extension,
        pool: &Address,
        key: &Address,
        accounts: &dyn Accounts,
    ) -> Result<(Self, Beyond), VenueError> {
        Ok(match accounts.known(key) {
            Known::Unread => (self.clone(), Beyond::Unread),
            Known::Absent => (self.clone(), Beyond::None),
            Known::Present(account) if account.data.is_empty() => (self.clone(), Beyond::None),
            Known::Present(account) => (self.extended(layout, pool, key, account)?, Beyond::There),
        })
    }

    /// With what the extension's account adds on either side.
    fn extended(
        &self,
        layout: &Extension,
        pool: &Address,
        key: &Address,
        account: Account<'_>,
    ) -> Result<Self, VenueError> {
        let data = layout.kind.read(key, account)?;
        let actual = data.key(8);
        if actual != *pool {
            let what = layout.kind.what;
            return Err(VenueError::OtherPool { pool: *pool, account: *key, what, actual });
        }
        let mut all = self.clone();
        let rows = layout.rows;
        for row in 0..rows {
            for n in 0..ROW_WORDS {
                let above = 40 + (row * ROW_WORDS + n) * 8;
                let below = data.u64(above + rows * ROW_WORDS * 8);
                all.0[(rows + 2 + row) * ROW_WORDS + n] = data.u64(above);
                let (place, below) = if layout.mirrored {
                    (ROW_WORDS - 1 - n, below.reverse_bits())
                } else {
                    (n, below)
                };
                all.0[(rows - 1 - row) * ROW_WORDS + place] = below;
            }
        }
        Ok(all)
    }

    /// Arrays on either side of zero.
    fn reach(&self) -> i32 {
        (self.0.len() * 64 / 2) as i32
    }

    /// The nearest array from `number` on, inclusive.
    pub fn nearest(&self, number: i32, down: bool) -> Option<i32> {
        let reach = self.reach();
        let (lowest, highest) = (-reach, reach - 1);
        if down && number < lowest || !down && number > highest {
            return None;
        }
        let bit = (number.clamp(lowest, highest) + reach) as usize;
        let (mut word, within) = (bit / 64, bit % 64);
        let mut bits =
            self.0[word] & if down { u64::MAX >> (63 - within) } else { u64::MAX << within };
        while bits == 0 {
            word = if down { word.checked_sub(1)? } else { word + 1 };
            bits = *self.0.get(word)?;
        }
        let found = if down { 63 - bits.leading_zeros() } else { bits.trailing_zeros() };
        Some((word * 64) as i32 + found as i32 - reach)
    }

    /// Up to `most` arrays on either side of `here`, those below first.
    pub fn around(&self, here: i32, most: usize) -> Vec<i32> {
        let mut found = Vec::with_capacity(2 * most);
        for down in [true, false] {
            let mut next = self.nearest(if down { here } else { here + 1 }, down);
            for _ in 0..most {
                let Some(number) = next else { break };
                found.push(number);
                next = self.nearest(if down { number - 1 } else { number + 1 }, down);
            }
        }
        found
    }
}

/// Whether the pool's own bitmap has a bit for that array.
pub(crate) fn in_pool(number: i32) -> bool {
    (-OWN..OWN).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Address = Address::new_from_array([9; 32]);
    const KEY: Address = Address::new_from_array([6; 32]);

    fn layout(rows: usize, mirrored: bool) -> Extension {
        Extension::of(OWNER, [5; 8], rows, mirrored)
    }

    fn pool_bitmap(numbers: &[i32], rows: usize) -> Bitmap {
        let mut data = vec![0; 2 * ROW_WORDS * 8];
        for number in numbers {
            let bit = (number + OWN) as usize;
            data[bit / 8] |= 1 << (bit % 8);
        }
        Bitmap::of_pool(Bytes(&data), 0, rows)
    }

    /// An extension with these arrays, written as the programs write it.
    fn extension(layout: &Extension, pool: &Address, numbers: &[i32]) -> Vec<u8> {
        let mut data = vec![0; layout.kind.len];
        data[..8].fill(5);
        data[8..40].copy_from_slice(pool.as_ref());
        for number in numbers {
            // The published rules: which row by the distance from zero, and in a row
            // below zero the bits count from its lowest array, or away from zero.
            let (side, row, bit) = if *number >= 0 {
                (0, number / 512 - 1, number % 512)
            } else if layout.mirrored {
                (layout.rows * 64, -(number + 1) / 512 - 1, -(number + 1) % 512)
            } else {
                let distance = number.unsigned_abs() as i32;
                (layout.rows * 64, (distance - 1) / 512 - 1, (512 - distance % 512) % 512)
            };
            data[40 + side + row as usize * 64 + bit as usize / 8] |= 1 << (bit % 8);
        }
        data
    }

    fn all(bitmap: &Bitmap) -> Vec<i32> {
        let mut found = Vec::new();
        let mut next = bitmap.nearest(-bitmap.reach(), false);
        while let Some(number) = next {
            found.push(number);
            next = bitmap.nearest(number + 1, false);
        }
        found
    }

    #[test]
    fn arrays_are_found_in_either_direction() {
        let bitmap = pool_bitmap(&[-512, -1, 0, 63, 64, 511], 14);
        assert_eq!(all(&bitmap), [-512, -1, 0, 63, 64, 511]);
        for (number, down, up) in [
            (-512, Some(-512), Some(-512)),
            (1, Some(0), Some(63)),
            (65, Some(64), Some(511)),
            (512, Some(511), None),
            (-513, None, Some(-512)),
        ] {
            assert_eq!(bitmap.nearest(number, true), down, "{number}");
            assert_eq!(bitmap.nearest(number, false), up, "{number}");
        }
        assert_eq!(bitmap.around(0, 2), [0, -1, 63, 64]);
    }

    #[test]
    fn arrays_beyond_the_pools_bitmap_are_in_the_extension() {
        let pool = Address::new_from_array([7; 32]);
        for (rows, mirrored) in [(14, false), (12, true)] {
            let layout = layout(rows, mirrored);
            let last = (rows as i32 + 1) * 512;
            let edges = [-last, -1025, -1024, -1000, -513, 512, 1000, 1023, 1024, last - 1];
            let data = extension(&layout, &pool, &edges);
            let account = Account { owner: &OWNER, data: &data };
            let middle = pool_bitmap(&[5], rows);
            let bitmap = middle.extended(&layout, &pool, &KEY, account).unwrap();
            let (below, above) = edges.split_at(5);
            assert_eq!(all(&bitmap), [below, &[5], above].concat());
            assert_eq!(bitmap.nearest(last, false), None);
            assert_eq!(bitmap.nearest(-last - 1, true), None);
            let other = Address::new_from_array([8; 32]);
            assert!(matches!(
                bitmap.extended(&layout, &other, &KEY, account),
                Err(VenueError::OtherPool { actual, .. }) if actual == pool
            ));
        }
    }
}
