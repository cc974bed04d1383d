//! Builds the transactions around Kamino Lend (klend) flash liquidations.
//!
//! Nothing here talks to an RPC node or a terminal, signs, or holds a key: the
//! crate turns accounts that somebody read into instructions and messages, and
//! what a node reports back into words. Every address is *read from accounts*;
//! klend's older reserves keep their vaults where no derivation finds them.
//!
//! # From a quote to a transaction
//!
//! 1. [`klend_model`] quotes a liquidation, to the last unit, from account bytes.
//! 2. [`order::Order`] turns the quote into what the keeper signs for: how much
//!    less may arrive, how much more is borrowed, what profit is the least.
//! 3. A [`receiver::Route`] says how the collateral becomes the debt's token; the
//!    venues in [`swap`] make its legs.
//! 4. [`order::Order::liquidation`] puts it all into one
//!    [`flash_liquidation::FlashLiquidation`];
//!    [`create_missing`](flash_liquidation::FlashLiquidation::create_missing) adds
//!    the token accounts and farm stakes that are not there, and
//!    [`compile`](flash_liquidation::FlashLiquidation::compile) makes a v0 or v1
//!    message of it, or says who takes too many bytes, accounts or compute units.
//! 5. Sign, simulate, send. [`decode::decode`] reads what became of it.
//!
//! ```
//! use flash_liquidator_client::{
//!     compute_budget::ComputeBudget,
//!     klend::PositionAddresses,
//!     order::{Limits, Order},
//!     receiver::{Route, swap_authority},
//!     swap::{self, Amount, Trade},
//!     tip::Tip,
//! };
//! # use bytemuck::Zeroable;
//! # use klend_interface::state::{LendingMarket, Obligation, Reserve};
//! # use klend_model::keys::to_v2;
//! # use solana_address::Address;
//! # use solana_hash::Hash;
//! # let key = |byte| Address::new_from_array([byte; 32]);
//! # let [keeper, obligation_key, sol_reserve, usdc_reserve, sol, usdc] = [1, 2, 3, 4, 5, 6].map(key);
//! # let reserve = |mint| {
//! #     let mut reserve = Reserve::zeroed();
//! #     reserve.liquidity.mint_pubkey = to_v2(&mint);
//! #     reserve.liquidity.token_program = to_v2(&flash_liquidator_client::token::TOKEN_PROGRAM_ID);
//! #     reserve
//! # };
//! # let (sol_account, usdc_account) = (reserve(sol), reserve(usdc));
//! # let mut obligation = Obligation::zeroed();
//! # obligation.deposits[0].deposit_reserve = to_v2(&sol_reserve);
//! # obligation.borrows[0].borrow_reserve = to_v2(&usdc_reserve);
//! # let market = LendingMarket::zeroed();
//! # let order = Order {
//! #     repay_reserve: usdc_reserve,
//! #     withdraw_reserve: sol_reserve,
//! #     flash_reserve: usdc_reserve,
//! #     flash_amount: 5_000_000_000,
//! #     terms: Default::default(),
//! # };
//! # let token = flash_liquidator_client::token::TOKEN_PROGRAM_ID;
//! # let curve =
//! #     swap::stand_in::StandInPool::new(&key(7), 30, [(sol, token), (usdc, token)]);
//! # let (tables, blockhash, tip_account) = ([], Hash::default(), key(10));
//! // The accounts, as an RPC node or a fork folder has them. `order` came from
//! // Order::of(&best, &Limits { min_profit: 1_000_000, ..Limits::default() }).
//! let position = PositionAddresses::read(
//!     (&obligation_key, &obligation),
//!     &market,
//!     &[(sol_reserve, &sol_account), (usdc_reserve, &usdc_account)],
//! )?;
//!
//! // One leg: SOL into USDC, paid to the keeper's own account. `curve` is what
//! // liquidation_venues made of a pool's accounts.
//! let withdraw = position.reserve(&order.withdraw_reserve).unwrap();
//! let repay = position.reserve(&order.repay_reserve).unwrap();
//! let mut route = Route::new(&keeper, withdraw, repay);
//! let mut liquidation = order.liquidation(&position, &keeper, None)?;
//! let trade = Trade {
//!     authority: swap_authority(&keeper).0,
//!     input: swap::side(withdraw, route.swap_collateral),
//!     output: swap::side(repay, liquidation.keeper_accounts.debt),
//!     amount: Amount::All(40_000_000_000), // whatever arrives: about this much
//!     min_out: 0, // the receiver insists on loan, fee and profit
//!     token: 0,
//! };
//! route.swap_debt = None;
//! route.legs = vec![curve.leg(&trade)?];
//! liquidation.route = Some(route);
//!
//! liquidation.compute_budget = ComputeBudget { unit_limit: Some(400_000), unit_price: 50_000 };
//! liquidation.tip = Some(Tip { account: tip_account, lamports: 100_000 });
//! liquidation.create_missing(|_address| true)?;
//! let compiled = liquidation.compile(&tables, blockhash, None)?;
//! assert!(compiled.budget.bytes <= compiled.budget.format.max_bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to look
//!
//! | module | what it is for |
//! |---|---|
//! | [`order`] | from a quote to a liquidation |
//! | [`flash_liquidation`] | the whole sequence from flash borrow to flash repay, compiled |
//! | [`klend`] | addresses of a reserve and of an obligation, klend's instructions |
//! | [`receiver`] | this project's `liquidate`, its accounts and swap legs |
//! | [`swap`] | swap venues as legs |
//! | [`bracket`] | `open` and `settle` around instructions that stay at top level |
//! | [`perps`] | liquidations on Drift and Velocity, to stand inside a bracket |
//! | [`scope`] | prices written in front of a liquidation |
//! | [`token`], [`token_2022`] | associated token accounts; extensions of mints |
//! | [`lookup_table`] | which addresses belong in a lookup table, and managing one |
//! | [`compute_budget`] | compute-unit limit and price |
//! | [`units`] | how many compute units instructions will use |
//! | [`budget`] | bytes, accounts and compute units before signing; v1 messages |
//! | [`transaction`] | v0 messages, and what goes over the wire |
//! | [`tip`] | tips to block builders |
//! | [`bundle`] | bundles for a block engine |
//! | [`nonce`] | durable nonces |
//! | [`decode`] | what became of a transaction: events, costs, why it failed |
//!
//! The workspace's `klend-fork` runs all of it in a virtual machine; its examples
//! liquidate a position from the first account to the last event.

#![deny(missing_docs)]
#![forbid(unsafe_code)]

pub mod bracket;
pub mod budget;
pub mod bundle;
pub mod compute_budget;
pub mod decode;

pub mod flash_liquidation;
pub mod klend;
pub mod lookup_table;
pub mod nonce;
pub mod order;
pub mod perps;
pub mod receiver;
pub mod scope;
pub mod swap;
pub mod tip;
pub mod token;
pub mod token_2022;
pub mod transaction;
pub mod units;
