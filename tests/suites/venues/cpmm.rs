//! Raydium CPMM pools, made by their program.

use liquidation_venues::raydium_cpmm::{AUTHORITY, PROGRAM_ID};
use solana_address::{Address, address};

use crate::{
    chain::{ATA_PROGRAM, Chain, Dice, RENT, SYSTEM, TOKEN, TOKEN_2022, call, pda, r, w, ws},
    market::{Market, tokens},
};

/// May make configurations.
const ADMIN: Address = address!("GThUX1Atko4tqhN2NaiTazWSeFWMuiUvfFnyJyUghFMJ");
/// Is paid for new pools.
const FEE_RECEIVER: Address = address!("DNXgeM9EiiaAbaWvwjHj9fQQLAX5ZsfHyvmYUNRAdNC8");
const NATIVE_MINT: Address = address!("So11111111111111111111111111111111111111112");

pub fn start(chain: &mut Chain) {
    chain.fund(ADMIN);
    chain.mint(NATIVE_MINT, 9, TOKEN);
    chain.tokens(FEE_RECEIVER, &NATIVE_MINT, &ADMIN, 0);
}

/// Makes a pool of random size and fees, which is open.
pub fn pool(chain: &mut Chain, dice: &mut Dice, number: u64) -> Market {
    let market = new_pool(chain, dice, number);
    // The program lets a pool open a second after it is made.
    chain.wait(2);
    market
}

/// Makes a pool that opens a second later.
pub fn new_pool(chain: &mut Chain, dice: &mut Dice, number: u64) -> Market {
    let user = chain.user;
    let programs = [TOKEN, TOKEN_2022].map(|program| if dice.chance(2) { program } else { TOKEN });
    let (mints, held, programs) = tokens(chain, number, programs);
    let index = (number as u16).to_be_bytes();
    let config = pda(&PROGRAM_ID, &[b"amm_config", &index]);
    let arguments = [
        &(number as u16).to_le_bytes()[..],
        &(dice.range(0, 100_000) as u64).to_le_bytes(),
        &(dice.range(0, 500_000) as u64).to_le_bytes(),
        &(dice.range(0, 400_000) as u64).to_le_bytes(),
        &0u64.to_le_bytes(),
        // Read by versions that know a creator's fee.
        &0u64.to_le_bytes(),
    ]
    .concat();
    let accounts = vec![ws(ADMIN), w(config), r(SYSTEM)];
    chain.must(call(PROGRAM_ID, "create_amm_config", &[&arguments], accounts));

    let of = |seeds: &[&[u8]]| pda(&PROGRAM_ID, seeds);
    let pool = of(&[b"pool", config.as_ref(), mints[0].as_ref(), mints[1].as_ref()]);
    let vault = |mint: &Address| of(&[b"pool_vault", pool.as_ref(), mint.as_ref()]);
    let lp_mint = of(&[b"pool_lp_mint", pool.as_ref()]);
    let accounts = vec![
        ws(user),
        r(config),
        r(AUTHORITY),
        w(pool),
        r(mints[0]),
        r(mints[1]),
        w(lp_mint),
        w(held[0]),
        w(held[1]),
        w(pda(&ATA_PROGRAM, &[user.as_ref(), TOKEN.as_ref(), lp_mint.as_ref()])),
        w(vault(&mints[0])),
        w(vault(&mints[1])),
        w(FEE_RECEIVER),
        w(of(&[b"observation", pool.as_ref()])),
        r(TOKEN),
        r(programs[0]),
        r(programs[1]),
        r(ATA_PROGRAM),
        r(SYSTEM),
        r(RENT),
    ];
    let reserves = [0, 1].map(|_| dice.amount(1 << 50).max(10_000));
    let arguments = [reserves[0].to_le_bytes(), reserves[1].to_le_bytes(), 0u64.to_le_bytes()];
    chain.must(call(PROGRAM_ID, "initialize", &[&arguments.concat()], accounts));
    Market { pool, mints, held, programs, depth: reserves[0].max(reserves[1]) * 4 }
}
