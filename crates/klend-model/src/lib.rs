//! What klend will do, computed before anything is sent.
//!
//! This crate reads Kamino Lend's accounts in place, through the structs that
//! `klend-interface` publishes, and computes what klend's program computes in
//! the same integer arithmetic: a reserve's interest and prices at a given
//! moment, an obligation's health, and a liquidation to the last unit, for each
//! of klend's reasons. Where klend would refuse, the answer is klend's own
//! error number with the numbers behind it ([`refusal::Refusal`]). A setting
//! that no known klend has is named and refused ([`refusal::Unknowable`]);
//! nothing is guessed. Which klend, says [`version::KlendVersion`].
//!
//! It knows no RPC and no transactions.
//!
//! # From bytes to a quote
//!
//! ```
//! # use klend_model::{accounts, constants::KLEND_PROGRAM_ID, table::ReserveTable, time::Clock};
//! # use klend_model::liquidation::{Request, quote};
//! # use klend_model::{refusal::Refusal, version::KlendVersion};
//! # use solana_address::Address;
//! # fn evaluate(market_key: Address, market: &[u8], reserves: &[(Address, Vec<u8>)],
//! #     obligations: &[(Address, Vec<u8>)], clock: Clock,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! // Views into the bytes, checked; nothing is copied.
//! let owner = KLEND_PROGRAM_ID;
//! let market = accounts::lending_market(&market_key, &owner, market)?;
//! let reserves = reserves
//!     .iter()
//!     .map(|(key, data)| Ok((*key, accounts::reserve(key, &owner, data)?)))
//!     .collect::<Result<Vec<_>, accounts::AccountError>>()?;
//!
//! // Once per slot: interest, prices, limits. Oracles would come last.
//! let version = KlendVersion::default();
//! let table = ReserveTable::refresh(version, &market_key, market, &reserves, clock, None);
//!
//! for (key, data) in obligations {
//!     let account = accounts::obligation(key, &owner, data)?;
//!     // Cheap, for all of them.
//!     if !table.health(key, account)?.is_unhealthy() {
//!         continue;
//!     }
//!     // In full, for the few.
//!     let state = table.obligation(key, account)?;
//!     let (repay, withdraw) = (&reserves[0].0, &reserves[1].0);
//!     let request = Request {
//!         repay_reserve: *repay,
//!         withdraw_reserve: *withdraw,
//!         amount: u64::MAX,
//!         min_received: 0,
//!         flash_loan: None,
//!     };
//!     match quote(&table, &state, &request) {
//!         Ok(quote) => println!("pay {}, receive {}", quote.repay, quote.received),
//!         Err(refusal) => println!("{refusal}"),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Map
//!
//! | module | question |
//! |---|---|
//! | [`accounts`] | Are these bytes that account? |
//! | [`version`] | Which klend, and what differs between them? |
//! | [`reserve`] | What are a reserve's supply, utilisation, exchange rate, rates, limits, queue and fees? |
//! | [`price`] | What do the oracles say, and does klend trust it? |
//! | [`accrual`] | What do interest and rewards come to? |
//! | [`time`] | Which moment, and how much time since another? |
//! | [`refresh`] | What will a reserve be at this slot and time? |
//! | [`table`] | …and all reserves of a market, prepared for valuing obligations? |
//! | [`obligation`], [`outlook`] | How close is an obligation to liquidation, at which prices? |
//! | [`liquidation`] | What does klend do with this repayment? |
//! | [`search`] | Which repayment gains most? |
//! | [`flash`] | Who lends the tokens for it? |
//! | [`verify`] | Did the chain do what the model says? |
//! | [`errors`], [`refusal`] | Why not? |
//! | [`fraction`], [`keys`], [`fields`], [`constants`] | How does klend count, where does it write, and what does it fix in code? |
//!
//! # How it is known to be right
//!
//! The differential suite of this repository liquidates thousands of random
//! positions in klend's program and in this crate and compares every number.
//! Amounts are raw token units (`u64`), values and ratios are
//! [`fraction::Fraction`]s; floating point appears only in figures made for
//! people (`…_apy`, `to_f64`) and in deciding when a search may stop.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod accounts;
pub mod accrual;
pub mod constants;
pub mod errors;
pub mod fields;
pub mod flash;
pub mod fraction;
pub mod keys;
pub mod liquidation;
pub mod obligation;
pub mod outlook;
pub mod price;
pub mod refresh;
pub mod refusal;
pub mod reserve;
pub mod search;
pub mod table;
pub mod time;
pub mod verify;
pub mod version;
