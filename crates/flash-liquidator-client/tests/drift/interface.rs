//! Drift's interface as facts: what the builders are held against.
//!
//! The facts were taken from the interface description (IDL) that Drift publishes,
//! of two versions:
//!
//! * `PROGRAM`: program 2.162.0, repository at commit `0ae3e3b` of 1 April 2026.
//!   The npm package `@drift-labs/sdk` 2.156.0 has the same.
//! * `SDK`: npm package `@drift-labs/sdk` 2.163.0-beta.12 of 24 August 2026, whose
//!   description calls itself 2.162.0 as well. Market accounts are longer.
//!
//! To hold the builders against another version, name its IDL file, old or new
//! format (`lib/node/idl/drift.json` of the npm package):
//!
//! ```sh
//! DRIFT_IDL=drift.json cargo test -p flash-liquidator-client --test drift
//! ```

use std::{collections::BTreeMap, env, fs};

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
pub struct Interface {
    pub source: String,
    pub instructions: BTreeMap<String, InstructionFact>,
    pub types: BTreeMap<String, TypeFact>,
    /// Offsets of fields (`Type.field`) and sizes of types (`Type`) in bytes. An
    /// account's discriminator is not counted.
    pub layout: BTreeMap<String, usize>,
}

/// The recorded versions, and the one that `DRIFT_IDL` names.
pub fn all() -> Vec<Interface> {
    let mut all = vec![recorded("PROGRAM", false), recorded("SDK", true)];
    if let Some(path) = env::var_os("DRIFT_IDL").filter(|path| !path.is_empty()) {
        let path = path.into_string().expect("a path in UTF-8");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let idl = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        all.push(parse(path, &idl));
    }
    all
}

/// Name, accounts (`w` writable, `s` signer) and arguments.
type Row = (&'static str, &'static str, &'static str);

const INSTRUCTIONS: [Row; 9] = [
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
        "state: user:w user_stats:w authority:s spot_market_vault:w drift_signer: \
         user_token_account:w token_program:",
        "market_index:u16 amount:u64 reduce_only:bool",
    ),
    (
        "liquidate_perp",
        "state: authority:s liquidator:w liquidator_stats:w user:w user_stats:w",
        "market_index:u16 liquidator_max_base_asset_amount:u64 limit_price:option<u64>",
    ),
    (
        "liquidate_spot",
        "state: authority:s liquidator:w liquidator_stats:w user:w user_stats:w",
        "asset_market_index:u16 liability_market_index:u16 liquidator_max_liability_transfer:u128 \
         limit_price:option<u64>",
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

const ORDER_PARAMS: &str = "order_type:OrderType market_type:MarketType \
     direction:PositionDirection user_order_id:u8 base_asset_amount:u64 price:u64 market_index:u16 \
     reduce_only:bool post_only:PostOnlyParam bit_flags:u8 max_ts:option<i64> \
     trigger_price:option<u64> trigger_condition:OrderTriggerCondition \
     oracle_price_offset:option<i32> auction_duration:option<u8> auction_start_price:option<i64> \
     auction_end_price:option<i64>";

const ENUMS: [(&str, &str); 5] = [
    ("OrderType", "Market Limit TriggerMarket TriggerLimit Oracle"),
    ("MarketType", "Spot Perp"),
    ("PositionDirection", "Long Short"),
    ("PostOnlyParam", "None MustPostOnly TryPostOnly Slide"),
    ("OrderTriggerCondition", "Above Below TriggeredAbove TriggeredBelow"),
];

const LAYOUT: [(&str, usize); 18] = [
    ("User", 4_368),
    ("User.authority", 0),
    ("User.spot_positions", 96),
    ("User.perp_positions", 416),
    ("User.sub_account_id", 4_338),
    ("SpotPosition", 40),
    ("SpotPosition.scaled_balance", 0),
    ("SpotPosition.market_index", 32),
    ("SpotPosition.balance_type", 34),
    ("SpotPosition.open_orders", 35),
    ("PerpPosition", 96),
    ("PerpPosition.base_asset_amount", 8),
    ("PerpPosition.quote_asset_amount", 16),
    ("PerpPosition.open_bids", 40),
    ("PerpPosition.open_asks", 48),
    ("PerpPosition.market_index", 92),
    ("PerpPosition.open_orders", 94),
    ("SpotMarket.oracle", 32),
];

/// Fields that lie elsewhere in the newer version: there, and here.
const LAYOUT_BY_VERSION: [(&str, [usize; 2]); 13] = [
    ("PerpPosition.isolated_position_scaled_balance", [72, 72]),
    ("PerpPosition.position_flag", [95, 95]),
    ("SpotMarket", [768, 800]),
    ("SpotMarket.mint", [64, 64]),
    ("SpotMarket.vault", [96, 96]),
    ("SpotMarket.market_index", [676, 692]),
    ("SpotMarket.token_program_flag", [726, 742]),
    ("PerpMarket", [1_208, 1_232]),
    ("PerpMarket.amm", [32, 32]),
    ("PerpMarket.market_index", [1_152, 1_168]),
    ("PerpMarket.quote_spot_market_index", [1_158, 1_174]),
    ("AMM.oracle", [0, 0]),
    ("AMM.oracle_source", [886, 894]),
];

/// Fields that only the stand-in uses, of the version it stands in for.
const STAND_IN_LAYOUT: [(&str, usize); 30] = [
    ("State.signer", 96),
    ("State.perp_fee_structure", 160),
    ("State.signer_nonce", 962),
    ("UserStats", 232),
    ("UserStats.authority", 0),
    ("UserStats.number_of_sub_accounts", 176),
    ("UserStats.number_of_sub_accounts_created", 178),
    ("SpotMarket.pubkey", 0),
    ("SpotMarket.deposit_balance", 424),
    ("SpotMarket.borrow_balance", 440),
    ("SpotMarket.cumulative_deposit_interest", 456),
    ("SpotMarket.cumulative_borrow_interest", 472),
    ("SpotMarket.initial_asset_weight", 632),
    ("SpotMarket.maintenance_asset_weight", 636),
    ("SpotMarket.initial_liability_weight", 640),
    ("SpotMarket.maintenance_liability_weight", 644),
    ("SpotMarket.liquidator_fee", 652),
    ("SpotMarket.decimals", 672),
    ("PerpMarket.pubkey", 0),
    ("PerpMarket.pnl_pool", 968),
    ("PerpMarket.liquidator_fee", 1_120),
    ("PerpMarket.margin_ratio_initial", 1_128),
    ("PerpMarket.margin_ratio_maintenance", 1_132),
    ("PerpMarket.unrealized_pnl_initial_asset_weight", 1_136),
    ("PerpMarket.unrealized_pnl_maintenance_asset_weight", 1_140),
    ("AMM.order_step_size", 768),
    ("AMM.long_spread", 864),
    ("AMM.short_spread", 868),
    ("PythLazerOracle.price", 0),
    ("PythLazerOracle.exponent", 24),
];

fn recorded(source: &str, is_newer: bool) -> Interface {
    let pairs = |text: &str| -> Vec<(String, String)> {
        text.split_whitespace()
            .map(|pair| pair.split_once(':').expect("name:type"))
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect()
    };
    let instructions = INSTRUCTIONS
        .iter()
        .map(|(instruction, accounts, args)| {
            let accounts = pairs(accounts)
                .into_iter()
                .map(|(name, flags)| AccountFact {
                    is_writable: flags.contains('w'),
                    // In the newer version whoever gets an account signs for it.
                    is_signer: flags.contains('s')
                        || (is_newer
                            && name == "authority"
                            && instruction.starts_with("initialize")),
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
    let order_params = ("OrderParams".to_owned(), TypeFact::Struct(pairs(ORDER_PARAMS)));
    let stand_in = if is_newer { &[][..] } else { &STAND_IN_LAYOUT };
    let by_version =
        LAYOUT_BY_VERSION.iter().map(|(name, offsets)| (*name, offsets[usize::from(is_newer)]));
    Interface {
        source: source.to_owned(),
        instructions,
        types: enums.chain([order_params]).collect(),
        layout: LAYOUT
            .iter()
            .chain(stand_in)
            .copied()
            .chain(by_version)
            .map(|(name, offset)| (name.to_owned(), offset))
            .collect(),
    }
}

/// Reads an IDL file in the format of Anchor 0.29 or earlier, or of 0.30 or later.
fn parse(source: String, idl: &Value) -> Interface {
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
                    name: name(account),
                    is_writable: flag(account, ["isMut", "writable"]),
                    is_signer: flag(account, ["isSigner", "signer"]),
                })
                .collect();
            (name(instruction), InstructionFact { accounts, args: fields(&instruction["args"]) })
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
    // This one account is written without gaps.
    measure("State", Packing::Dense, &types, &mut layout);
    Interface { source, instructions, types, layout }
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
