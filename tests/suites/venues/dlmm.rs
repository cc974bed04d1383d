//! Meteora DLMM pools, made by their program.

use std::collections::BTreeSet;

use liquidation_venues::meteora_dlmm::{EVENT_AUTHORITY, PROGRAM_ID};
use solana_address::Address;
use solana_instruction::AccountMeta;

use crate::{
    chain::{
        Chain, Dice, RENT, SYSTEM, TOKEN, TOKEN_2022, call, discriminator, named, pda, r, rs, w, ws,
    },
    market::{Market, tokens},
};

const BINS: i32 = 70;
const FULL_BPS: u16 = 10_000;
/// Where a new pool's leave for its mints is named.
const BADGES: [usize; 2] = [9, 10];
/// No accounts for transfer hooks.
const NO_HOOKS: [u8; 4] = [0; 4];

/// Makes a pool with random fees, positions and limit orders. What an administrator
/// would write, the pool's parameters, is put there by hand.
pub fn pool(chain: &mut Chain, dice: &mut Dice, number: u64) -> Market {
    let user = chain.user;
    let programs = [TOKEN, TOKEN_2022].map(|program| if dice.chance(2) { program } else { TOKEN });
    let (mints, held, programs) = tokens(chain, number, programs);
    let bin_step = [1u16, 2, 5, 10, 20, 80, 100, 400][dice.range(0, 7) as usize];
    // At times beyond the pool's own bitmap, never where a price has no 64 bits.
    let far = (150_000 / i64::from(bin_step)).min(if dice.chance(2) { 80_000 } else { 3_000 });
    let active = dice.range(-far, far) as i32;

    let filter = dice.range(1, 60) as u16;
    // Pools take limit orders, or may have rewards.
    let function = dice.range(0, 1) as u8;
    let mut preset = discriminator("account:PresetParameter2").to_vec();
    preset.extend(bin_step.to_le_bytes());
    preset.extend((dice.range(1, 20_000) as u16).to_le_bytes());
    preset.extend(filter.to_le_bytes());
    preset.extend((filter + dice.range(1, 600) as u16).to_le_bytes());
    preset.extend((dice.range(0, 100_000) as u32).to_le_bytes());
    preset.extend((dice.range(10_000, 400_000) as u32).to_le_bytes());
    preset.extend((dice.range(0, 10_000) as u16).to_le_bytes());
    preset.extend((dice.range(0, 2_500) as u16).to_le_bytes());
    preset.extend((number as u16).to_le_bytes());
    preset.extend([dice.range(0, 1) as u8, function, dice.range(0, 1) as u8]);
    preset.resize(192, 0);
    let of = |seeds: &[&[u8]]| pda(&PROGRAM_ID, seeds);
    let parameters = of(&[b"preset_parameter2", &(number as u16).to_le_bytes()]);
    chain.put(parameters, PROGRAM_ID, preset);

    let pool = of(&[parameters.as_ref(), mints[0].as_ref(), mints[1].as_ref()]);
    let vaults = mints.map(|mint| of(&[pool.as_ref(), mint.as_ref()]));
    let bitmap = of(&[b"bitmap", pool.as_ref()]);
    let none = r(PROGRAM_ID);
    let extended = active.div_euclid(BINS).unsigned_abs() > 480;
    let extension = if extended { w(bitmap) } else { none.clone() };
    // A new pool gets its extension only where its first bin lies beyond its own bitmap.
    let is_beyond = !(-512..512).contains(&active.div_euclid(BINS));
    let mut accounts = vec![
        w(pool),
        if is_beyond { extension.clone() } else { none.clone() },
        r(mints[0]),
        r(mints[1]),
        w(vaults[0]),
        w(vaults[1]),
        w(of(&[b"oracle", pool.as_ref()])),
        r(parameters),
        ws(user),
        none.clone(),
        none.clone(),
        r(programs[0]),
        r(programs[1]),
        r(SYSTEM),
        r(EVENT_AUTHORITY),
        r(PROGRAM_ID),
    ];
    let arguments: &[&[u8]] = &[&active.to_le_bytes(), &[0; 96]];
    for (mint, place) in mints.iter().zip(BADGES) {
        if !chain.is_extended(mint) {
            continue;
        }
        let badge = of(&[b"token_badge", mint.as_ref()]);
        if chain.svm.get_account(&badge).is_none() {
            chain.wants_leave(call(PROGRAM_ID, "initialize_lb_pair2", arguments, accounts.clone()));
            let mut leave = discriminator("account:TokenBadge").to_vec();
            leave.extend(mint.as_ref());
            leave.resize(8 + 32 + 128, 0);
            chain.put(badge, PROGRAM_ID, leave);
        }
        accounts[place] = r(badge);
    }
    chain.must(call(PROGRAM_ID, "initialize_lb_pair2", arguments, accounts));

    let array = |number: i32| of(&[b"bin_array", pool.as_ref(), &i64::from(number).to_le_bytes()]);
    let make_array = |chain: &mut Chain, number: i32| {
        if chain.svm.get_account(&array(number)).is_none_or(|account| account.data.is_empty()) {
            let accounts = vec![r(pool), w(array(number)), ws(user), r(SYSTEM)];
            let index = i64::from(number).to_le_bytes();
            chain.must(call(PROGRAM_ID, "initialize_bin_array", &[&index], accounts));
        }
    };
    for position in 0..dice.range(2, 8) as u64 {
        let width = if position == 0 { 1 } else { dice.range(1, 70) as i32 };
        let reach = if position < 2 { 0 } else { dice.range(0, 200) as i32 };
        let lower =
            active + dice.range(-1, 1) as i32 * reach - dice.range(0, (width - 1).into()) as i32;
        let key = named("position", number * 1000 + position);
        let accounts = vec![
            ws(user),
            ws(key),
            r(pool),
            rs(user),
            r(SYSTEM),
            r(EVENT_AUTHORITY),
            r(PROGRAM_ID),
        ];
        let arguments = [lower.to_le_bytes(), width.to_le_bytes()].concat();
        chain.must(call(PROGRAM_ID, "initialize_position2", &[&arguments], accounts));
        let numbers = [lower.div_euclid(BINS), (lower + width - 1).div_euclid(BINS)];
        for number in numbers {
            make_array(chain, number);
            if extended && chain.svm.get_account(&bitmap).is_none() {
                let accounts = vec![r(pool), w(bitmap), ws(user), r(SYSTEM), r(RENT)];
                let name = "initialize_bin_array_bitmap_extension";
                chain.must(call(PROGRAM_ID, name, &[], accounts));
            }
        }
        let arrays: BTreeSet<i32> = numbers.into();
        let arrays: Vec<AccountMeta> = arrays.into_iter().map(|n| w(array(n))).collect();
        if position == 0 {
            let amounts = [0, 1].map(|_| dice.amount(1 << 40).max(1 << 20).to_le_bytes());
            let whole = FULL_BPS.to_le_bytes();
            let arguments: &[&[u8]] = &[
                &amounts.concat(),
                &1u32.to_le_bytes(),
                &active.to_le_bytes(),
                &[whole, whole].concat(),
                &NO_HOOKS,
            ];
            let mut accounts = vec![
                w(key),
                w(pool),
                extension.clone(),
                w(held[0]),
                w(held[1]),
                w(vaults[0]),
                w(vaults[1]),
                r(mints[0]),
                r(mints[1]),
                rs(user),
                r(programs[0]),
                r(programs[1]),
                r(EVENT_AUTHORITY),
                r(PROGRAM_ID),
            ];
            accounts.extend(arrays);
            chain.must(call(PROGRAM_ID, "add_liquidity2", arguments, accounts));
            continue;
        }
        for side in [0, 1] {
            let is_its = |id: &i32| if side == 0 { *id > active } else { *id < active };
            let bins: Vec<i32> =
                (lower..lower + width).filter(is_its).filter(|_| !dice.chance(4)).collect();
            if bins.is_empty() {
                continue;
            }
            let mut arguments = (bins.len() as u32).to_le_bytes().to_vec();
            for id in bins {
                arguments.extend(id.to_le_bytes());
                arguments.extend((dice.amount(1 << 31).max(1 << 8) as u32).to_le_bytes());
            }
            arguments.extend((1u64 << dice.range(0, 16)).to_le_bytes());
            arguments.extend(u64::MAX.to_le_bytes());
            arguments.extend(NO_HOOKS);
            let mut accounts = vec![
                w(key),
                w(pool),
                extension.clone(),
                w(held[side]),
                w(vaults[side]),
                r(mints[side]),
                rs(user),
                r(programs[side]),
                r(EVENT_AUTHORITY),
                r(PROGRAM_ID),
            ];
            accounts.extend(arrays.clone());
            // What is worth too little for a share of its bin is refused.
            let name = "add_liquidity_one_side_precise2";
            drop(chain.send(&[call(PROGRAM_ID, name, &[&arguments], accounts)]));
        }
    }
    if function == 0 {
        for order in 0..dice.range(0, 6) as u64 {
            place_order(
                chain,
                dice,
                &Orders {
                    key: named("order", number * 1000 + order),
                    pool,
                    active,
                    extension: &extension,
                    mints,
                    held,
                    vaults,
                    programs,
                },
            );
        }
    }
    Market { pool, mints, held, programs, depth: 1 << 44 }
}

/// Where orders are placed.
struct Orders<'a> {
    key: Address,
    pool: Address,
    active: i32,
    extension: &'a AccountMeta,
    mints: [Address; 2],
    held: [Address; 2],
    vaults: [Address; 2],
    programs: [Address; 2],
}

/// Places limit orders in some bins of one array; the program refuses some of them.
fn place_order(chain: &mut Chain, dice: &mut Dice, orders: &Orders<'_>) {
    let user = chain.user;
    let asks = dice.chance(2);
    let side = usize::from(!asks);
    let pool = orders.pool;
    let mut bins = Vec::new();
    for _ in 0..dice.range(1, 8) {
        let distance = dice.range(0, 60) as i32;
        bins.push(orders.active + if asks { distance } else { -distance });
    }
    bins.sort_unstable();
    bins.dedup();
    let array = |number: i32| {
        pda(&PROGRAM_ID, &[b"bin_array", pool.as_ref(), &i64::from(number).to_le_bytes()])
    };
    let mut arguments = vec![u8::from(asks)];
    arguments.extend([0; 16]);
    arguments.push(0);
    arguments.extend((bins.len() as u32).to_le_bytes());
    let mut accounts = vec![
        w(pool),
        orders.extension.clone(),
        w(orders.vaults[side]),
        r(orders.mints[side]),
        ws(orders.key),
        ws(user),
        r(user),
        w(orders.held[side]),
        rs(user),
        r(orders.programs[side]),
        r(SYSTEM),
        r(EVENT_AUTHORITY),
        r(PROGRAM_ID),
    ];
    for id in bins {
        arguments.extend(id.to_le_bytes());
        arguments.extend(dice.amount(1 << 40).max(1 << 12).to_le_bytes());
        let meta = w(array(id.div_euclid(BINS)));
        if !accounts.contains(&meta) {
            accounts.push(meta);
        }
    }
    arguments.extend(NO_HOOKS);
    drop(chain.send(&[call(PROGRAM_ID, "place_limit_order", &[&arguments], accounts)]));
}
