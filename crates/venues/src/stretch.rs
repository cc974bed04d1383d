//! The arrays that a sale goes through, as bitmaps list them, and what it pays there.

use solana_address::Address;

use crate::{
    bitmap::{self, Beyond, Bitmap},
    error::VenueError,
    ladder::{End, Ladder, Step},
};

/// What is known of a pool in one direction.
#[derive(Clone, Debug)]
pub(crate) struct Stretch<S> {
    pool: Address,
    /// Steps within the arrays.
    pub ladder: Ladder<S>,
    /// The array that the price is in.
    here: i32,
    /// The arrays that it stands on, in the order of the swap.
    pub arrays: Vec<i32>,
    /// The nearest array the other way.
    behind: Option<i32>,
    extension: Beyond,
    /// What would have to be read to know what follows.
    pub end: Option<(Address, &'static str)>,
}

impl<S: Step> Stretch<S> {
    /// One that begins in the array `here`, and the first array that has something in it.
    pub fn begin(
        pool: Address,
        here: i32,
        down: bool,
        (bitmap, extension): (&Bitmap, Beyond),
    ) -> (Self, Option<i32>) {
        let first = bitmap.nearest(here, down);
        let behind =
            first.and_then(|first| bitmap.nearest(if down { first + 1 } else { first - 1 }, !down));
        let (ladder, arrays) = (Ladder::default(), Vec::new());
        (Self { pool, ladder, here, arrays, behind, extension, end: None }, first)
    }

    /// All of it, with `extension` to be read where only that says what follows.
    ///
    /// # Errors
    /// [`VenueError::Unread`] or [`VenueError::NoLiquidity`] where there is no array.
    pub fn whole(
        mut self,
        sold: &Address,
        is_end: bool,
        extension: (Address, &'static str),
    ) -> Result<Self, VenueError> {
        if is_end && self.extension == Beyond::Unread {
            self.end = Some(extension);
        }
        if !self.arrays.is_empty() {
            return Ok(self);
        }
        let pool = self.pool;
        Err(match self.end {
            Some((account, what)) => VenueError::Unread { pool, account, what },
            None => VenueError::NoLiquidity { pool, sold: *sold },
        })
    }

    fn sell(&self, amount: u64) -> Result<End, VenueError> {
        self.ladder.sell(amount).map_err(|error| error.of(self.pool, amount, self.end))
    }

    /// Where `amount` leads, if anything is paid for it.
    pub fn pays(&self, amount: u64) -> Result<End, VenueError> {
        let end = self.sell(amount)?;
        if end.paid == 0 {
            return Err(VenueError::TooLittle { pool: self.pool, amount });
        }
        Ok(end)
    }

    /// The arrays that a leg names which sells `amount`, and whether it names the extension.
    ///
    /// The array behind comes first, then those the amount needs, and one to spare: the sale
    /// lands, too, if the price has crossed an edge either way. Programs look into the
    /// extension where an array's bit is there, and where the pool's own bitmap has no
    /// further one.
    pub fn named(&self, amount: u64) -> Result<(Vec<i32>, bool), VenueError> {
        let needed = self.sell(amount)?.array as usize + 1;
        let ahead = self.arrays.iter().take(needed + 1).copied();
        let arrays: Vec<i32> = self.behind.into_iter().chain(ahead).collect();
        let is_last = self.arrays.len() <= needed;
        let is_beyond = |number: &i32| !bitmap::in_pool(*number);
        let is_needed = self.extension == Beyond::There
            && (is_last || is_beyond(&self.here) || arrays.iter().any(is_beyond));
        Ok((arrays, is_needed))
    }
}
