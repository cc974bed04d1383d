//! Raydium AMM pools, made by their program.

use liquidation_venues::raydium_amm::PROGRAM_ID;
use solana_address::{Address, address};
use solana_instruction::{AccountMeta, Instruction};

use crate::{
    chain::{ATA_PROGRAM, Chain, Dice, RENT, SYSTEM, TOKEN, named, pda, r, rs, w, ws},
    market::{Market, tokens},
};

/// May set parameters.
const OWNER: Address = address!("GThUX1Atko4tqhN2NaiTazWSeFWMuiUvfFnyJyUghFMJ");
/// Is paid for new pools.
const FEE_RECEIVER: Address = address!("7YttLkHDoNj9wyDur5pM1ejNaAvT9X4eqaYcHQqtj2G5");

const CREATE_CONFIG: u8 = 14;
const INITIALIZE: u8 = 1;
const DEPOSIT: u8 = 3;
const SET_PARAMS: u8 = 6;
/// What `SET_PARAMS` sets.
const STATUS: u8 = 0;
const FEES: u8 = 2;

fn call(data: &[&[u8]], accounts: Vec<AccountMeta>) -> Instruction {
    Instruction { program_id: PROGRAM_ID, accounts, data: data.concat() }
}

fn config() -> Address {
    pda(&PROGRAM_ID, &[b"amm_config_account_seed"])
}

pub fn start(chain: &mut Chain) {
    chain.fund(OWNER);
    let accounts = vec![ws(OWNER), w(config()), r(OWNER), r(SYSTEM), r(RENT)];
    chain.must(call(&[&[CREATE_CONFIG]], accounts));
}

/// Makes a pool of random size and fee, in one of the states in which it swaps; at
/// times with something in its vaults that is the program's owner's.
pub fn pool(chain: &mut Chain, dice: &mut Dice, number: u64) -> Market {
    let user = chain.user;
    let programs = [TOKEN; 2];
    let (mints, held, programs) = tokens(chain, number, programs);
    let (authority, nonce) = Address::find_program_address(&[b"amm authority"], &PROGRAM_ID);
    // Nothing is asked of it: it is a seed.
    let market = named("market", number);
    let of =
        |what: &str| pda(&PROGRAM_ID, &[PROGRAM_ID.as_ref(), market.as_ref(), what.as_bytes()]);
    let pool = of("amm_associated_seed");
    let vaults = [of("coin_vault_associated_seed"), of("pc_vault_associated_seed")];
    let (lp_mint, targets) = (of("lp_mint_associated_seed"), of("target_associated_seed"));
    let lp = pda(&ATA_PROGRAM, &[user.as_ref(), TOKEN.as_ref(), lp_mint.as_ref()]);
    let accounts = vec![
        r(TOKEN),
        r(ATA_PROGRAM),
        r(SYSTEM),
        r(RENT),
        w(pool),
        r(authority),
        w(lp_mint),
        r(mints[0]),
        r(mints[1]),
        w(vaults[0]),
        w(vaults[1]),
        w(targets),
        r(config()),
        w(FEE_RECEIVER),
        r(market),
        ws(user),
        w(held[0]),
        w(held[1]),
        w(lp),
    ];
    let reserves = [0, 1].map(|_| dice.amount(1 << 50).max(1 << 31));
    let waits = dice.chance(2);
    let opens = if waits { chain.now().unix_timestamp + 1 } else { 0 };
    let arguments = [opens.to_le_bytes(), reserves[1].to_le_bytes(), reserves[0].to_le_bytes()];
    chain.must(call(&[&[INITIALIZE, nonce], &arguments.concat()], accounts));
    let made = Market { pool, mints, held, programs, depth: reserves[0].max(reserves[1]) * 4 };
    if waits {
        made.is_not_open(chain);
    }
    chain.wait(1);

    let admin = || vec![w(pool), rs(OWNER)];
    // Separation, the order book's fee, the owner's share, the fee.
    let fee = dice.range(0, 500) as u64;
    let fees = [5, 10_000, 25, 10_000, 12, 100, fee, 10_000u64].map(u64::to_le_bytes).concat();
    chain.must(call(&[&[SET_PARAMS, FEES], &fees], admin()));
    if !waits && dice.chance(2) {
        chain.must(call(&[&[SET_PARAMS, STATUS], &1u64.to_le_bytes()], admin()));
    }
    // Wrapped SOL is made without its lamports here, so of a given pair nothing is sold yet.
    if chain.pair.is_none() && dice.chance(2) {
        // What swaps have paid is shared with the owner when somebody deposits.
        let mut tally = crate::market::Tally::default();
        for _ in 0..4 {
            made.compare(chain, dice, &mut tally);
        }
        let accounts = vec![
            r(TOKEN),
            w(pool),
            r(authority),
            w(targets),
            w(lp_mint),
            w(vaults[0]),
            w(vaults[1]),
            w(held[0]),
            w(held[1]),
            w(lp),
            rs(user),
        ];
        let coin = (chain.balance(&vaults[0]) / 1_000 + 1).to_le_bytes();
        let most = u64::MAX.to_le_bytes();
        // Too little on one side is refused.
        drop(chain.send(&[call(&[&[DEPOSIT], &coin, &most, &0u64.to_le_bytes()], accounts)]));
    }
    made
}
