//! What swap pools pay, and the legs that sell into them.
//!
//! A pool is read from its account's bytes ([`read`]). It names the further accounts
//! that its price depends on ([`Pool::accounts`]), and with those it becomes a
//! [`Curve`] for either of its tokens: exact output for an exact input, raw units, to
//! the unit of what the program pays in that state; or an error that names pool and
//! field ([`VenueError`]). A curve also builds the [`SwapLeg`] that sells into it.
//! [`route`] finds the best way over several curves.
//!
//! It knows no lending protocol, no RPC and no transactions.
//!
//! | venue | program | arithmetic |
//! |---|---|---|
//! | [`whirlpool`] | Orca Whirlpools | concentrated, static or adaptive fees |
//! | [`raydium_clmm`] | Raydium CLMM | concentrated, static or dynamic fees, limit orders |
//! | [`meteora_dlmm`] | Meteora DLMM | bins, dynamic fees, limit orders |
//! | [`raydium_cpmm`] | Raydium CPMM | constant product |
//! | [`raydium_amm`] | Raydium AMM v4 | constant product |
//! | [`stand_in`] | this project's own, for tests and forks | constant product |
//!
//! A venue is a file with a type for [`Pool`] and one for [`Curve`];
//! `docs/venues.md` in the repository says how to add one.

mod account;
mod bitmap;
mod concentrated;
pub mod discovery;
mod error;
mod ladder;
mod leg;
mod listing;
pub mod meteora_dlmm;
pub mod mint;
pub mod pda;
pub mod raydium_amm;
pub mod raydium_clmm;
pub mod raydium_cpmm;
pub mod route;
pub mod stand_in;
mod stretch;
pub mod whirlpool;

use std::fmt::Debug;

use solana_address::Address;

pub use crate::{
    account::{Account, Accounts, Known},
    error::VenueError,
    leg::{Amount, Side, SwapLeg, Trade},
};

/// When a swap is meant to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The clock sysvar's time, seconds since 1970.
    pub unix_timestamp: i64,
    /// Slot.
    pub slot: u64,
}

impl Now {
    /// Seconds since 1970, as programs take them.
    fn seconds(&self) -> u64 {
        u64::try_from(self.unix_timestamp).unwrap_or(0)
    }

    /// # Errors
    /// [`VenueError::NotOpenYet`] before `opens`, seconds since 1970.
    fn check_open(&self, pool: Address, opens: u64) -> Result<(), VenueError> {
        let now = self.seconds();
        if now < opens {
            let unit = "seconds since 1970";
            return Err(VenueError::NotOpenYet { pool, opens, now, unit });
        }
        Ok(())
    }
}

/// What a pool pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What arrives, raw units of the token that is bought.
    pub amount_out: u64,
    /// Ticks or bins that the price crosses.
    pub crossed: u32,
    /// Steps of the program's loop: from tick to tick, and from fee to fee.
    pub steps: u32,
    /// Compute units that the leg takes, as measured on the real program.
    pub units: u32,
}

/// Which pool it is.
#[derive(Clone, Copy, Debug)]
pub struct Id<'a> {
    /// The pool's account.
    pub address: &'a Address,
    /// Its program.
    pub program: &'a Address,
    /// The venue in words.
    pub name: &'static str,
    /// The two mints, in the pool's order.
    pub mints: &'a [Address; 2],
}

/// A pool, as its account states it.
pub trait Pool: Debug + Send + Sync {
    /// Which one it is.
    fn id(&self) -> Id<'_>;

    /// The pool's account.
    fn address(&self) -> &Address {
        self.id().address
    }

    /// Its program.
    fn program(&self) -> &Address {
        self.id().program
    }

    /// The venue in words.
    fn name(&self) -> &'static str {
        self.id().name
    }

    /// The two mints.
    fn mints(&self) -> [Address; 2] {
        *self.id().mints
    }

    /// Accounts that the price depends on beside the pool's own, as far as can be told
    /// from what is known: ask again when those are read, until all are. Those around
    /// the current price come with some reserve, so that they need not be asked for
    /// again with every move.
    fn accounts(&self, known: &dyn Accounts) -> Vec<Address>;

    /// What the pool pays for `sold`.
    ///
    /// # Errors
    /// [`VenueError`].
    fn curve(
        &self,
        sold: &Address,
        known: &dyn Accounts,
        now: &Now,
    ) -> Result<Box<dyn Curve>, VenueError>;
}

/// A way through a pool.
#[derive(Clone, Copy, Debug)]
pub struct Direction<'a> {
    /// The pool's account.
    pub pool: &'a Address,
    /// The venue in words.
    pub name: &'static str,
    /// The pool's two mints, in its order.
    pub mints: &'a [Address; 2],
    /// Whether the first one is sold.
    pub sells_first: bool,
}

impl<'a> Direction<'a> {
    /// Mint that is sold.
    #[must_use]
    pub fn sold(&self) -> &'a Address {
        &self.mints[usize::from(!self.sells_first)]
    }

    /// Mint that is bought.
    #[must_use]
    pub fn bought(&self) -> &'a Address {
        &self.mints[usize::from(self.sells_first)]
    }
}

/// What a pool pays for one of its tokens, in the state it was read in.
pub trait Curve: Debug + Send + Sync {
    /// Of which pool, and which way through it.
    fn direction(&self) -> Direction<'_>;

    /// The pool's account.
    fn pool(&self) -> &Address {
        self.direction().pool
    }

    /// The venue in words.
    fn name(&self) -> &'static str {
        self.direction().name
    }

    /// Mint that is sold.
    fn sold(&self) -> &Address {
        self.direction().sold()
    }

    /// Mint that is bought.
    fn bought(&self) -> &Address {
        self.direction().bought()
    }

    /// What arrives for exactly `amount_in` raw units, all of which are taken.
    ///
    /// # Errors
    /// [`VenueError::TooMuch`], [`VenueError::Beyond`] and [`VenueError::TooLittle`]: the
    /// program refuses that amount, or what it does is not known.
    fn quote(&self, amount_in: u64) -> Result<Quote, VenueError>;

    /// The leg that sells into it.
    ///
    /// # Errors
    /// [`VenueError::OtherTokens`]; as [`Curve::quote`] for the amount of the trade.
    fn leg(&self, trade: &Trade) -> Result<SwapLeg, VenueError>;

    /// What the pool pays after `sold` has gone into it in the same transaction. Only where
    /// one leg reaches a part of the liquidity, and a second one begins further on.
    ///
    /// # Errors
    /// [`VenueError::OneLeg`] where a second leg reaches no further than the first, or what
    /// is left after exactly this much cannot be told; as [`Curve::quote`].
    fn after(&self, sold: u64) -> Result<Box<dyn Curve>, VenueError> {
        let _ = sold;
        Err(VenueError::OneLeg { pool: *self.pool() })
    }

    /// Levels of calls below the caller's: the swap itself and its transfers.
    fn depth(&self) -> u8 {
        2
    }
}

/// Reads a pool of any venue.
///
/// # Errors
/// [`VenueError::NoVenue`] for a program that is not known; else why it is no pool.
pub fn read(key: &Address, account: Account<'_>) -> Result<Box<dyn Pool>, VenueError> {
    Ok(match *account.owner {
        whirlpool::PROGRAM_ID | whirlpool::IMMUTABLE_PROGRAM_ID => {
            Box::new(whirlpool::Whirlpool::read(key, account)?)
        }
        raydium_cpmm::PROGRAM_ID => Box::new(raydium_cpmm::CpmmPool::read(key, account)?),
        raydium_amm::PROGRAM_ID => Box::new(raydium_amm::AmmPool::read(key, account)?),
        raydium_clmm::PROGRAM_ID => Box::new(raydium_clmm::ClmmPool::read(key, account)?),
        meteora_dlmm::PROGRAM_ID => Box::new(meteora_dlmm::DlmmPool::read(key, account)?),
        owner => return Err(VenueError::NoVenue { account: *key, owner }),
    })
}

/// Whether `sold` is the first of a pool's mints, or the second.
fn sells_first(pool: &Address, mints: &[Address; 2], sold: &Address) -> Result<bool, VenueError> {
    if *sold == mints[0] {
        Ok(true)
    } else if *sold == mints[1] {
        Ok(false)
    } else {
        Err(VenueError::OtherMint { pool: *pool, mint: *sold })
    }
}

/// That a trade is one of these tokens.
fn check_trade(
    pool: &Address,
    (sold, bought): (&Address, &Address),
    trade: &Trade,
) -> Result<(), VenueError> {
    if [trade.input.mint, trade.output.mint] == [*sold, *bought] {
        return Ok(());
    }
    let (sold, bought) = (trade.input.mint, trade.output.mint);
    Err(VenueError::OtherTokens { pool: *pool, sold, bought })
}
