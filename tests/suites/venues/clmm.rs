//! Raydium CLMM pools, made by their program.

use liquidation_venues::raydium_clmm::PROGRAM_ID;
use solana_address::{Address, address};

use crate::{
    chain::{
        ATA_PROGRAM, Chain, Dice, RENT, SYSTEM, TOKEN, TOKEN_2022, call, named, pda, r, w, ws,
    },
    market::{Market, tokens},
    whirlpool::sqrt_price,
};

/// May make configurations.
const ADMIN: Address = address!("GThUX1Atko4tqhN2NaiTazWSeFWMuiUvfFnyJyUghFMJ");
const TICKS: i32 = 60;
/// Accounts that a new pool always names.
const NAMED: usize = 13;

pub fn start(chain: &mut Chain) {
    chain.fund(ADMIN);
}

/// Makes a pool with random fees, positions and limit orders.
pub fn pool(chain: &mut Chain, dice: &mut Dice, number: u64) -> Market {
    let user = chain.user;
    let programs = [TOKEN, TOKEN_2022].map(|program| if dice.chance(2) { program } else { TOKEN });
    let (mints, held, programs) = tokens(chain, number, programs);
    let spacing = [1u16, 2, 10, 60, 120][dice.range(0, 4) as usize];
    let step = i32::from(spacing);
    // At times beyond the pool's own bitmap.
    let far = if spacing == 1 { 40_000 } else { 60_000 };
    let middle_tick = dice.range(-far, far) as i32;
    let of = |seeds: &[&[u8]]| pda(&PROGRAM_ID, seeds);

    let config = of(&[b"amm_config", &(number as u16).to_be_bytes()]);
    let arguments = [
        &(number as u16).to_le_bytes()[..],
        &spacing.to_le_bytes(),
        &(dice.range(0, 20_000) as u32).to_le_bytes(),
        &(dice.range(0, 500_000) as u32).to_le_bytes(),
        &(dice.range(0, 400_000) as u32).to_le_bytes(),
    ]
    .concat();
    let accounts = vec![ws(ADMIN), w(config), r(SYSTEM)];
    chain.must(call(PROGRAM_ID, "create_amm_config", &[&arguments], accounts));

    let pool = of(&[b"pool", config.as_ref(), mints[0].as_ref(), mints[1].as_ref()]);
    let vault = |mint: &Address| of(&[b"pool_vault", pool.as_ref(), mint.as_ref()]);
    let vaults = [vault(&mints[0]), vault(&mints[1])];
    let bitmap = of(&[b"pool_tick_array_bitmap_extension", pool.as_ref()]);
    let mut accounts = vec![
        ws(user),
        r(config),
        w(pool),
        r(mints[0]),
        r(mints[1]),
        w(vaults[0]),
        w(vaults[1]),
        w(of(&[b"observation", pool.as_ref()])),
        w(bitmap),
        r(programs[0]),
        r(programs[1]),
        r(SYSTEM),
        r(RENT),
    ];
    let dynamic = dice.chance(2);
    if dynamic {
        let fees = of(&[b"dynamic_fee_config", &(number as u16).to_be_bytes()]);
        let filter = dice.range(1, 60) as u16;
        let arguments = [
            &(number as u16).to_le_bytes()[..],
            &filter.to_le_bytes(),
            &(filter + dice.range(1, 600) as u16).to_le_bytes(),
            &(dice.range(1, 9_999) as u16).to_le_bytes(),
            &(dice.range(1, 99_999) as u32).to_le_bytes(),
            &(dice.range(10_000, 400_000) as u32).to_le_bytes(),
        ]
        .concat();
        let admin = vec![ws(ADMIN), w(fees), r(SYSTEM)];
        chain.must(call(PROGRAM_ID, "create_dynamic_fee_config", &[&arguments], admin));
        accounts.push(r(fees));
    }
    let price = sqrt_price(middle_tick).to_le_bytes();
    let fee_on = dice.range(0, 2) as u8;
    let arguments: &[&[u8]] = &[&price, &[fee_on, u8::from(dynamic)]];
    for mint in &mints {
        if !chain.is_extended(mint) {
            continue;
        }
        let leave = of(&[b"support_mint", mint.as_ref()]);
        if chain.svm.get_account(&leave).is_none() {
            let creation = "create_customizable_pool";
            chain.wants_leave(call(PROGRAM_ID, creation, arguments, accounts.clone()));
            let admin = vec![ws(ADMIN), r(*mint), w(leave), r(SYSTEM)];
            chain.must(call(PROGRAM_ID, "create_support_mint_associated", &[], admin));
        }
        // What fees follow has to come last.
        accounts.insert(NAMED, r(leave));
    }
    chain.must(call(PROGRAM_ID, "create_customizable_pool", arguments, accounts));

    let middle = middle_tick.div_euclid(step);
    let start = |tick: i32| tick.div_euclid(step * TICKS) * step * TICKS;
    let array = |tick: i32| of(&[b"tick_array", pool.as_ref(), &start(tick).to_be_bytes()]);
    for position in 0..dice.range(3, 24) as u64 {
        let reach = if position == 0 { 300 } else { dice.range(2, 250) };
        let lower = (middle - dice.range(0, reach) as i32) * step;
        let upper = lower + dice.range(1, reach * 2) as i32 * step;
        if lower < -443_000 || upper > 443_000 {
            continue;
        }
        let mint = named("position", number * 1000 + position);
        let accounts = vec![
            ws(user),
            r(user),
            ws(mint),
            w(pda(&ATA_PROGRAM, &[user.as_ref(), TOKEN_2022.as_ref(), mint.as_ref()])),
            w(pool),
            r(SYSTEM),
            w(array(lower)),
            w(array(upper)),
            w(of(&[b"position", mint.as_ref()])),
            w(held[0]),
            w(held[1]),
            w(vaults[0]),
            w(vaults[1]),
            r(RENT),
            r(SYSTEM),
            r(TOKEN),
            r(ATA_PROGRAM),
            r(TOKEN_2022),
            r(mints[0]),
            r(mints[1]),
            w(bitmap),
        ];
        let liquidity = u128::from(dice.amount(1 << 44)).max(1 << 20).to_le_bytes();
        let most = u64::MAX.to_le_bytes();
        let ticks = [lower, upper, start(lower), start(upper)].map(i32::to_le_bytes).concat();
        let arguments: &[&[u8]] = &[&ticks, &liquidity, &most, &most, &[0, 0]];
        chain.must(call(PROGRAM_ID, "open_position_with_token22_nft", arguments, accounts));
    }
    if dice.chance(2) {
        let nonce = of(&[user.as_ref(), &[0]]);
        for _ in 0..dice.range(1, 6) {
            let sells_first = dice.chance(2);
            let distance = dice.range(2, 120) as i32;
            let tick = (if sells_first { middle + distance } else { middle - distance }) * step;
            let placed = chain.svm.get_account(&nonce).map_or(0u64, |account| {
                u64::from_le_bytes(account.data[41..49].try_into().expect("eight bytes"))
            });
            let side = usize::from(!sells_first);
            let accounts = vec![
                ws(user),
                w(pool),
                w(array(tick)),
                w(nonce),
                w(of(&[user.as_ref(), nonce.as_ref(), &placed.to_be_bytes()])),
                w(held[side]),
                w(vaults[side]),
                r(mints[side]),
                r(programs[side]),
                r(SYSTEM),
                w(bitmap),
            ];
            let amount = dice.amount(1 << 40).max(1 << 16).to_le_bytes();
            let arguments: &[&[u8]] = &[&[0, u8::from(sells_first)], &tick.to_le_bytes(), &amount];
            // Too little for its price is refused.
            drop(chain.send(&[call(PROGRAM_ID, "open_limit_order", arguments, accounts)]));
        }
    }
    Market { pool, mints, held, programs, depth: 1 << 50 }
}
