//! The exchanges' interfaces as facts: what the builders are held against.
//!
//! The facts were taken from the interface descriptions (IDL) that they publish:
//!
//! * Drift: program 2.161.0, repository at commit `d686955cd` of 27 March 2026, the
//!   last release that has instructions.
//! * Velocity: repository at commit `0077e03b` of 2026. `place_and_take_perp_order_v1`
//!   is of commit `d75f478e`, whose `User` is the same; `update_user_pool_id` is as
//!   the program's source has it there, since its state account came later.
//!
//! To hold the builders against another version, name its IDL file, old or new
//! format:
//!
//! ```sh
//! DRIFT_IDL=drift.json VELOCITY_IDL=velocity.json \
//!     cargo test -p flash-liquidator-client --test perps
//! ```

use std::{collections::BTreeMap, env, fs};

use flash_liquidator_client::perps::Exchange;
use serde_json::Value;

/// An account in an instruction's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountFact {
    pub name: String,
    pub is_writable: bool,
    pub is_signer: bool,
}

/// An instruction: accounts, then arguments with their types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstructionFact {
    pub accounts: Vec<AccountFact>,
    pub args: Vec<(String, String)>,
}

/// A type that arguments or accounts are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeFact {
    /// Fields with their types.
    Struct(Vec<(String, String)>),
    /// Variants without content.
    Enum(Vec<String>),
}

/// One version of the interface.
#[derive(Clone)]
pub struct Interface {
    pub exchange: Exchange,
    pub source: String,
    pub instructions: BTreeMap<String, InstructionFact>,
    pub types: BTreeMap<String, TypeFact>,
    /// Offsets of fields (`Type.field`) and sizes of types (`Type`) in bytes. An
    /// account's discriminator is not counted.
    pub layout: BTreeMap<String, usize>,
}

/// The recorded versions, and those that `DRIFT_IDL` and `VELOCITY_IDL` name.
pub fn all() -> Vec<Interface> {
    let mut all = Exchange::ALL.map(recorded).to_vec();
    for (variable, exchange) in
        [("DRIFT_IDL", Exchange::Drift), ("VELOCITY_IDL", Exchange::Velocity)]
    {
        if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
            let path = path.into_string().expect("a path in UTF-8");
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            let idl = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            all.push(parse(exchange, path, &idl));
        }
    }
    all
}

/// Name, accounts (`w` writable, `s` signer) and arguments.
type Row = (&'static str, &'static str, &'static str);

/// Instructions that are the same on both.
const INSTRUCTIONS: [Row; 8] = [
    ("initialize_user_stats", "user_stats:w state:w authority: payer:ws rent: system_program:", ""),
    (
        "initialize_user",
        "user:w user_stats:w state:w authority: payer:ws rent: system_program:",
        "sub_account_id:u16 name:[u8;32]",
    ),
    (
        "deposit",
        "state: user:w user_stats:w authority:s spot_market_vault:w user_token_account:w \
         token_program:",
        "market_index:u16 amount:u64 reduce_only:bool",
    ),
    (
        "withdraw",
        "state: user:w user_stats:w authority:s spot_market_vault:w signer: \
         user_token_account:w token_program:",
        "market_index:u16 amount:u64 reduce_only:bool",
    ),
    (
        "liquidate_perp",
        "state: authority:s liquidator:w liquidator_stats:w user:w user_stats:w",
        "market_index:u16 liquidator_max_base_asset_amount:u64 limit_price:option<u64>",
    ),
    (
        "liquidate_perp_pnl_for_deposit",
        "state: authority:s liquidator:w liquidator_stats:w user:w user_stats:w",
        "perp_market_index:u16 spot_market_index:u16 liquidator_max_pnl_transfer:u128 \
         limit_price:option<u64>",
    ),
    ("settle_pnl", "state: user:w authority:s spot_market_vault:", "market_index:u16"),
    (
        "place_and_take_perp_order",
        "state: user:w user_stats:w authority:s",
        "params:OrderParams success_condition:option<u32>",
    ),
];

const LIQUIDATE_SPOT_ARGS: &str = "asset_market_index:u16 liability_market_index:u16 liquidator_max_liability_transfer:u128 \
     limit_price:option<u64>";
const POOL_ARGS: &str = "sub_account_id:u16 pool_id:u8";

/// Those that are not: of Drift, of Velocity.
const INSTRUCTIONS_BY_EXCHANGE: [&[Row]; 2] = [
    &[
        (
            "liquidate_spot",
            "state: authority:s liquidator:w liquidator_stats:w user:w user_stats:w",
            LIQUIDATE_SPOT_ARGS,
        ),
        ("update_user_pool_id", "user:w authority:s", POOL_ARGS),
    ],
    &[
        (
            "liquidate_spot",
            "state: authority:s liquidator:w liquidator_stats: user:w",
            LIQUIDATE_SPOT_ARGS,
        ),
        ("update_user_pool_id", "user:w authority:s state:", POOL_ARGS),
        (
            "place_and_take_perp_order_v1",
            "state: user:w user_stats:w authority:s quoter_slab: clob_market:w clob_program: \
             flow_authority:",
            "params:OrderParams success_condition:option<u32>",
        ),
    ],
];

/// The same up to the offset from the oracle's price; then of Drift, of Velocity.
const ORDER_PARAMS: &str = "order_type:OrderType market_type:MarketType \
     direction:PositionDirection user_order_id:u8 base_asset_amount:u64 price:u64 market_index:u16 \
     reduce_only:bool post_only:PostOnlyParam bit_flags:u8 max_ts:option<i64> \
     trigger_price:option<u64> trigger_condition:OrderTriggerCondition";
const ORDER_PARAMS_BY_EXCHANGE: [&str; 2] = [
    "oracle_price_offset:option<i32> auction_duration:option<u8> auction_start_price:option<i64> \
     auction_end_price:option<i64>",
    "oracle_price_offset:option<i64> auction_duration:option<u8> auction_start_price:option<i64> \
     auction_end_price:option<i64> builder_idx:option<u8> builder_fee_tenth_bps:option<u16>",
];

const ENUMS: [(&str, &str); 5] = [
    ("OrderType", "Market Limit TriggerMarket TriggerLimit Oracle"),
    ("MarketType", "Spot Perp"),
    ("PositionDirection", "Long Short"),
    ("PostOnlyParam", "None MustPostOnly TryPostOnly Slide"),
    ("OrderTriggerCondition", "Above Below TriggeredAbove TriggeredBelow"),
];

/// Not there, or not known.
const ABSENT: usize = usize::MAX;

/// Offsets of fields and sizes of types: of Drift, of Velocity. What Drift has in
/// its `amm`, Velocity has in the market itself.
const LAYOUT: [(&str, [usize; 2]); 110] = [
    ("User", [4368, 4488]),
    ("User.authority", [0, 0]),
    ("User.spot_positions", [96, 96]),
    ("User.perp_positions", [416, 416]),
    ("User.liquidation_margin_freed", [4312, 4432]),
    ("User.last_active_slot", [4320, 4440]),
    ("User.sub_account_id", [4338, 4458]),
    ("User.status", [4340, 4460]),
    ("User.open_orders", [4343, 4463]),
    ("User.margin_mode", [4347, ABSENT]),
    ("User.pool_id", [4348, 4467]),
    ("SpotPosition", [40, 40]),
    ("SpotPosition.scaled_balance", [0, 0]),
    ("SpotPosition.market_index", [32, 32]),
    ("SpotPosition.balance_type", [34, 34]),
    ("SpotPosition.open_orders", [35, 35]),
    ("PerpPosition", [96, 80]),
    ("PerpPosition.last_cumulative_funding_rate", [0, 0]),
    ("PerpPosition.base_asset_amount", [8, 8]),
    ("PerpPosition.quote_asset_amount", [16, 16]),
    ("PerpPosition.open_bids", [40, 40]),
    ("PerpPosition.open_asks", [48, 48]),
    ("PerpPosition.isolated_position_scaled_balance", [72, 64]),
    ("PerpPosition.market_index", [92, 76]),
    ("PerpPosition.open_orders", [94, 78]),
    ("PerpPosition.position_flag", [95, 79]),
    ("SpotMarket", [768, 800]),
    ("SpotMarket.pubkey", [0, 0]),
    ("SpotMarket.oracle", [32, 32]),
    ("SpotMarket.mint", [64, 64]),
    ("SpotMarket.vault", [96, 96]),
    ("SpotMarket.deposit_balance", [424, 288]),
    ("SpotMarket.borrow_balance", [440, 304]),
    ("SpotMarket.cumulative_deposit_interest", [456, 320]),
    ("SpotMarket.cumulative_borrow_interest", [472, 336]),
    ("SpotMarket.historical_oracle_data", [160, ABSENT]),
    ("SpotMarket.withdraw_guard_threshold", [520, 536]),
    ("SpotMarket.max_token_deposits", [528, 544]),
    ("SpotMarket.deposit_token_twap", [536, 552]),
    ("SpotMarket.initial_asset_weight", [632, 648]),
    ("SpotMarket.maintenance_asset_weight", [636, 652]),
    ("SpotMarket.initial_liability_weight", [640, 656]),
    ("SpotMarket.maintenance_liability_weight", [644, 660]),
    ("SpotMarket.imf_factor", [648, 664]),
    ("SpotMarket.liquidator_fee", [652, 668]),
    ("SpotMarket.if_liquidation_fee", [656, 672]),
    ("SpotMarket.decimals", [672, 688]),
    ("SpotMarket.market_index", [676, 692]),
    ("SpotMarket.oracle_source", [679, 695]),
    ("SpotMarket.status", [680, 696]),
    ("SpotMarket.token_program_flag", [726, 737]),
    ("SpotMarket.pool_id", [727, 738]),
    ("PerpMarket", [1208, 1296]),
    ("PerpMarket.pubkey", [0, 0]),
    ("PerpMarket.amm.oracle", [32, 304]),
    ("PerpMarket.amm.oracle_source", [918, 665]),
    ("PerpMarket.amm.oracle_slot_delay_override", [927, 666]),
    ("PerpMarket.amm.cumulative_funding_rate_long", [600, 176]),
    ("PerpMarket.amm.cumulative_funding_rate_short", [616, 192]),
    ("PerpMarket.amm.order_step_size", [800, 536]),
    ("PerpMarket.pnl_pool", [968, 336]),
    ("PerpMarket.imf_factor", [1112, 592]),
    ("PerpMarket.liquidator_fee", [1120, 600]),
    ("PerpMarket.if_liquidation_fee", [1124, 604]),
    ("PerpMarket.margin_ratio_initial", [1128, 608]),
    ("PerpMarket.margin_ratio_maintenance", [1132, 612]),
    ("PerpMarket.unrealized_pnl_initial_asset_weight", [1136, 616]),
    ("PerpMarket.unrealized_pnl_maintenance_asset_weight", [1140, 620]),
    ("PerpMarket.market_index", [1152, 632]),
    ("PerpMarket.status", [1154, 634]),
    ("PerpMarket.contract_type", [1155, 635]),
    ("PerpMarket.quote_spot_market_index", [1158, 638]),
    ("PerpMarket.pool_id", [1165, 656]),
    ("PerpMarket.high_leverage_margin_ratio_initial", [1166, ABSENT]),
    ("PerpMarket.high_leverage_margin_ratio_maintenance", [1168, ABSENT]),
    ("PerpMarket.amm.long_spread", [896, ABSENT]),
    ("PerpMarket.amm.short_spread", [900, ABSENT]),
    ("PerpMarket.amm.historical_oracle_data", [64, ABSENT]),
    ("PerpMarket.amm.total_fee_minus_distributions", [552, ABSENT]),
    ("PerpMarket.amm.net_revenue_since_last_funding", [776, ABSENT]),
    ("HistoricalOracleData.last_oracle_price_twap5min", [32, ABSENT]),
    ("HistoricalOracleData.last_oracle_price_twap_ts", [40, ABSENT]),
    ("User.orders", [1184, ABSENT]),
    ("Order", [96, ABSENT]),
    ("Order.slot", [0, ABSENT]),
    ("Order.price", [8, ABSENT]),
    ("Order.base_asset_amount", [16, ABSENT]),
    ("Order.base_asset_amount_filled", [24, ABSENT]),
    ("Order.market_index", [80, ABSENT]),
    ("Order.status", [82, ABSENT]),
    ("Order.order_type", [83, ABSENT]),
    ("Order.market_type", [84, ABSENT]),
    ("Order.direction", [87, ABSENT]),
    ("Order.post_only", [89, ABSENT]),
    ("UserStats", [232, 232]),
    ("UserStats.authority", [0, 0]),
    ("UserStats.referrer", [32, 32]),
    ("UserStats.number_of_sub_accounts", [176, 152]),
    ("UserStats.number_of_sub_accounts_created", [178, 154]),
    ("State.signer", [96, 480]),
    ("State.perp_fee_structure", [160, ABSENT]),
    ("State.liquidation_margin_buffer_ratio", [952, ABSENT]),
    ("State.signer_nonce", [962, ABSENT]),
    ("State.exchange_status", [966, ABSENT]),
    ("State.liquidation_duration", [967, ABSENT]),
    ("State.initial_pct_to_liquidate", [968, ABSENT]),
    ("PythLazerOracle", [40, 40]),
    ("PythLazerOracle.price", [0, 0]),
    ("PythLazerOracle.posted_slot", [16, 16]),
    ("PythLazerOracle.exponent", [24, 24]),
];

fn recorded(exchange: Exchange) -> Interface {
    let pairs = |text: &str| -> Vec<(String, String)> {
        text.split_whitespace()
            .map(|pair| pair.split_once(':').expect("name:type"))
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect()
    };
    let index = exchange as usize;
    let instructions = INSTRUCTIONS
        .iter()
        .chain(INSTRUCTIONS_BY_EXCHANGE[index])
        .map(|(instruction, accounts, args)| {
            let accounts = pairs(accounts)
                .into_iter()
                .map(|(name, flags)| AccountFact {
                    is_writable: flags.contains('w'),
                    is_signer: flags.contains('s'),
                    name,
                })
                .collect();
            ((*instruction).to_owned(), InstructionFact { accounts, args: pairs(args) })
        })
        .collect();
    let enums = ENUMS.iter().map(|(name, variants)| {
        let variants = variants.split(' ').map(str::to_owned).collect();
        ((*name).to_owned(), TypeFact::Enum(variants))
    });
    let order_params = [ORDER_PARAMS, ORDER_PARAMS_BY_EXCHANGE[index]].join(" ");
    let order_params = ("OrderParams".to_owned(), TypeFact::Struct(pairs(&order_params)));
    Interface {
        exchange,
        source: exchange.to_string(),
        instructions,
        types: enums.chain([order_params]).collect(),
        layout: LAYOUT
            .iter()
            .filter(|(_, offsets)| offsets[index] != ABSENT)
            .map(|(name, offsets)| ((*name).to_owned(), offsets[index]))
            .collect(),
    }
}

/// Reads an IDL file in the format of Anchor 0.29 or earlier, or of 0.30 or later.
fn parse(exchange: Exchange, source: String, idl: &Value) -> Interface {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let flag = |account: &Value, names: [&str; 2]| {
        names.iter().any(|name| account[name].as_bool().unwrap_or(false))
    };
    let instructions = list(&idl["instructions"])
        .iter()
        .map(|instruction| {
            let accounts = list(&instruction["accounts"])
                .iter()
                .map(|account| AccountFact {
                    name: match name(account).as_str() {
                        "drift_signer" | "velocity_signer" => "signer".to_owned(),
                        name => name.to_owned(),
                    },
                    is_writable: flag(account, ["isMut", "writable"]),
                    is_signer: flag(account, ["isSigner", "signer"]),
                })
                .collect();
            let args = fields(&instruction["args"]);
            (name(instruction), InstructionFact { accounts, args })
        })
        .collect();
    let types: BTreeMap<String, TypeFact> = list(&idl["types"])
        .iter()
        .chain(&list(&idl["accounts"]))
        .filter(|definition| definition.get("type").is_some())
        .map(|definition| {
            let body = &definition["type"];
            let fact = if body["kind"] == "struct" {
                TypeFact::Struct(fields(&body["fields"]))
            } else {
                let variants = list(&body["variants"]);
                TypeFact::Enum(
                    variants
                        .iter()
                        .map(|variant| variant["name"].as_str().unwrap_or_default().to_owned())
                        .collect(),
                )
            };
            (definition["name"].as_str().expect("a named type").to_owned(), fact)
        })
        .collect();
    let mut layout = BTreeMap::new();
    for root in ["User", "UserStats", "SpotMarket", "PerpMarket", "PythLazerOracle"] {
        measure(root, Packing::Aligned, &types, &mut layout);
    }
    // This one account Drift writes without gaps.
    measure("State", Packing::Dense, &types, &mut layout);
    // Fields of a field, where they are asked for.
    let in_amm: Vec<_> = layout
        .iter()
        .filter_map(|(name, offset)| Some((name.strip_prefix("AMM.")?.to_owned(), *offset)))
        .collect();
    let amm = layout["PerpMarket.amm"];
    for (field, offset) in in_amm {
        // Velocity's market has some of them itself.
        let own = layout.get(&format!("PerpMarket.{field}")).copied();
        layout.insert(format!("PerpMarket.amm.{field}"), own.unwrap_or(amm + offset));
    }
    Interface { exchange, source, instructions, types, layout }
}

fn fields(list: &Value) -> Vec<(String, String)> {
    let fields = list.as_array().cloned().unwrap_or_default();
    fields.iter().map(|field| (name(field), kind(&field["type"]))).collect()
}

/// The name in snake case.
fn name(value: &Value) -> String {
    let mut snake = String::new();
    for letter in value["name"].as_str().expect("a name").chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The type in the notation of the tables above.
fn kind(value: &Value) -> String {
    if let Some(name) = value.as_str() {
        return if name == "publicKey" { "pubkey".to_owned() } else { name.to_owned() };
    }
    if let Some(inner) = value.get("option") {
        return format!("option<{}>", kind(inner));
    }
    if let Some(array) = value.get("array") {
        return format!("[{};{}]", kind(&array[0]), array[1]);
    }
    if let Some(defined) = value.get("defined") {
        let name = defined.as_str().or_else(|| defined["name"].as_str());
        return name.expect("a defined type has a name").to_owned();
    }
    value.to_string()
}

/// How fields follow one another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    /// As C lays them out.
    Aligned,
    /// Without gaps.
    Dense,
}

/// Size and alignment of a type, noting its fields' offsets.
/// 128-bit numbers are aligned to 8 bytes, as the program's compiler has them;
/// where it is 16, the description has padding that makes no difference.
fn measure(
    kind: &str,
    packing: Packing,
    types: &BTreeMap<String, TypeFact>,
    layout: &mut BTreeMap<String, usize>,
) -> (usize, usize) {
    let array = kind.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some((element, count)) = array.and_then(|array| array.rsplit_once(';')) {
        let (size, align) = measure(element, packing, types, layout);
        return (size * count.parse::<usize>().expect("a length"), align);
    }
    match kind {
        "u8" | "i8" | "bool" => return (1, 1),
        "u16" | "i16" => return (2, 2),
        "u32" | "i32" => return (4, 4),
        "u64" | "i64" => return (8, 8),
        "u128" | "i128" => return (16, 8),
        "pubkey" => return (32, 1),
        _ => {}
    }
    match types.get(kind) {
        Some(TypeFact::Enum(_)) => (1, 1),
        Some(TypeFact::Struct(fields)) => {
            let (mut end, mut widest) = (0usize, 1);
            for (name, field) in fields {
                let (size, align) = measure(field, packing, types, layout);
                let align = if packing == Packing::Dense { 1 } else { align };
                end = end.next_multiple_of(align);
                layout.insert(format!("{kind}.{name}"), end);
                (end, widest) = (end + size, widest.max(align));
            }
            let size = end.next_multiple_of(widest);
            layout.insert(kind.to_owned(), size);
            (size, widest)
        }
        None => panic!("type {kind} is not described"),
    }
}

/// A value of `kind` in borsh's encoding as text, and the bytes behind it.
pub fn decode<'a>(
    kind: &str,
    data: &'a [u8],
    types: &BTreeMap<String, TypeFact>,
) -> (String, &'a [u8]) {
    fn take<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
        let (bytes, rest) = data.split_first_chunk().expect("more bytes");
        (*bytes, rest)
    }
    macro_rules! number {
        ($type:ty) => {{
            let (bytes, rest) = take(data);
            (<$type>::from_le_bytes(bytes).to_string(), rest)
        }};
    }
    if let Some(inner) = kind.strip_prefix("option<").and_then(|rest| rest.strip_suffix('>')) {
        return match data {
            [0, rest @ ..] => ("none".to_owned(), rest),
            [1, rest @ ..] => decode(inner, rest, types),
            _ => panic!("no option: {data:?}"),
        };
    }
    match kind {
        "u8" => number!(u8),
        "u16" => number!(u16),
        "u32" => number!(u32),
        "u64" => number!(u64),
        "u128" => number!(u128),
        "i32" => number!(i32),
        "i64" => number!(i64),
        "bool" => match data {
            [0, rest @ ..] => ("false".to_owned(), rest),
            [1, rest @ ..] => ("true".to_owned(), rest),
            _ => panic!("no bool: {data:?}"),
        },
        "[u8;32]" => {
            let (bytes, rest) = take::<32>(data);
            let text = String::from_utf8_lossy(&bytes);
            (text.trim_end_matches('\0').to_owned(), rest)
        }
        _ => match types.get(kind) {
            Some(TypeFact::Enum(variants)) => (variants[usize::from(data[0])].clone(), &data[1..]),
            Some(TypeFact::Struct(fields)) => {
                let mut rest = data;
                let mut values = Vec::new();
                for (name, field) in fields {
                    let value;
                    (value, rest) = decode(field, rest, types);
                    values.push(format!("{name}={value}"));
                }
                (values.join(" "), rest)
            }
            None => panic!("type {kind} is not described"),
        },
    }
}
