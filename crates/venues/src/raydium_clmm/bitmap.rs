//! Which tick arrays have something in them: the only ones that exist, and the only
//! ones that the program goes to.

use solana_address::Address;

use super::{PROGRAM_ID, bitmap_extension};
use crate::{
    account::{Account, Bytes, Kind},
    error::VenueError,
};

const EXTENSION: Kind = Kind {
    what: "bitmap extension",
    program: PROGRAM_ID,
    // `account:TickArrayBitmapExtension`.
    discriminator: Some([60, 150, 36, 219, 97, 128, 139, 153]),
    len: 8 + 32 + 2 * ROWS * ROW_WORDS * 8,
};

/// Words of 64 arrays in a row.
const ROW_WORDS: usize = 8;
/// Rows of the extension on either side of the pool's own two.
const ROWS: usize = 14;
const WORDS: usize = (2 * ROWS + 2) * ROW_WORDS;
/// Arrays on either side of tick zero.
const REACH: i32 = (WORDS * 64 / 2) as i32;
/// Arrays on either side of tick zero in the pool's own bitmap.
const OWN: i32 = (ROW_WORDS * 64) as i32;

/// One bit for every array, from the lowest on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bitmap(Box<[u64; WORDS]>);

impl Bitmap {
    /// From a pool's account, which holds the middle.
    pub fn of_pool(data: Bytes<'_>, at: usize) -> Self {
        let mut words = Box::new([0; WORDS]);
        for (n, word) in words[ROWS * ROW_WORDS..][..2 * ROW_WORDS].iter_mut().enumerate() {
            *word = data.u64(at + n * 8);
        }
        Self(words)
    }

    /// With what the extension's account adds on either side.
    pub fn extended(&self, pool: &Address, account: Account<'_>) -> Result<Self, VenueError> {
        let key = bitmap_extension(pool);
        let data = EXTENSION.read(&key, account)?;
        let actual = data.key(8);
        if actual != *pool {
            let what = EXTENSION.what;
            return Err(VenueError::OtherPool { pool: *pool, account: key, what, actual });
        }
        let mut all = self.clone();
        for row in 0..ROWS {
            for n in 0..ROW_WORDS {
                let above = 40 + (row * ROW_WORDS + n) * 8;
                let below = above + ROWS * ROW_WORDS * 8;
                // Rows go away from the middle on either side, the arrays in a row upwards.
                all.0[(ROWS + 2 + row) * ROW_WORDS + n] = data.u64(above);
                all.0[(ROWS - 1 - row) * ROW_WORDS + n] = data.u64(below);
            }
        }
        Ok(all)
    }

    /// The nearest array from `number` on, inclusive.
    pub fn nearest(&self, number: i32, down: bool) -> Option<i32> {
        let (lowest, highest) = (-REACH, REACH - 1);
        if down && number < lowest || !down && number > highest {
            return None;
        }
        let bit = (number.clamp(lowest, highest) + REACH) as usize;
        let (mut word, within) = (bit / 64, bit % 64);
        let mut bits =
            self.0[word] & if down { u64::MAX >> (63 - within) } else { u64::MAX << within };
        while bits == 0 {
            word = if down { word.checked_sub(1)? } else { word + 1 };
            bits = *self.0.get(word)?;
        }
        let found = if down { 63 - bits.leading_zeros() } else { bits.trailing_zeros() };
        Some((word * 64) as i32 + found as i32 - REACH)
    }
}

/// Whether the pool's own bitmap has a bit for that array.
pub(super) fn in_pool(number: i32) -> bool {
    (-OWN..OWN).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool_bitmap(numbers: &[i32]) -> Bitmap {
        let mut data = vec![0; 2 * ROW_WORDS * 8];
        for number in numbers {
            let bit = (number + OWN) as usize;
            data[bit / 8] |= 1 << (bit % 8);
        }
        Bitmap::of_pool(Bytes(&data), 0)
    }

    /// An extension with these arrays, written as the program writes it.
    fn extension(pool: &Address, numbers: &[i32]) -> Vec<u8> {
        let mut data = vec![0; EXTENSION.len];
        data[..8].copy_from_slice(&EXTENSION.discriminator.unwrap());
        data[8..40].copy_from_slice(pool.as_ref());
        for number in numbers {
            // The published rule: which row by the distance from zero, and in a
            // row below zero the bits count from its lowest array.
            let (side, row, bit) = if *number >= 0 {
                (0, number / 512 - 1, number % 512)
            } else {
                let distance = number.unsigned_abs() as i32;
                (14 * 64, (distance - 1) / 512 - 1, (512 - distance % 512) % 512)
            };
            data[40 + side + row as usize * 64 + bit as usize / 8] |= 1 << (bit % 8);
        }
        data
    }

    fn all(bitmap: &Bitmap) -> Vec<i32> {
        let mut found = Vec::new();
        let mut next = bitmap.nearest(-REACH, false);
        while let Some(number) = next {
            found.push(number);
            next = bitmap.nearest(number + 1, false);
        }
        found
    }

    #[test]
    fn arrays_are_found_in_either_direction() {
        let bitmap = pool_bitmap(&[-512, -1, 0, 63, 64, 511]);
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
    }

    #[test]
    fn arrays_beyond_the_pools_bitmap_are_in_the_extension() {
        let pool = Address::new_from_array([7; 32]);
        let edges = [-7680, -1025, -1024, -513, 512, 1023, 1024, 7679];
        let data = extension(&pool, &edges);
        let account = Account { owner: &PROGRAM_ID, data: &data };
        let bitmap = pool_bitmap(&[5]).extended(&pool, account).unwrap();
        assert_eq!(all(&bitmap), [-7680, -1025, -1024, -513, 5, 512, 1023, 1024, 7679]);
        assert_eq!(bitmap.nearest(7680, false), None);
        assert_eq!(bitmap.nearest(-7681, true), None);
        let other = Address::new_from_array([8; 32]);
        assert!(matches!(
            bitmap.extended(&other, account),
            Err(VenueError::OtherPool { actual, .. }) if actual == pool
        ));
    }
}
