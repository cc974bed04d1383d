//! Stacked bars as SVG, legible on light and dark backgrounds.

use std::fmt::Write;

use indicatif::HumanCount;

const WIDTH: usize = 900;
const LABEL_WIDTH: usize = 170;
const TOTAL_WIDTH: usize = 90;
const BAR_HEIGHT: usize = 24;
const ROW_HEIGHT: usize = 38;
const LEGEND_COLUMNS: usize = 4;
const LEGEND_ROW: usize = 20;
const TOP: usize = 40;

/// Distinct from each other, on white and on black.
const COLOURS: [&str; 14] = [
    "#4e79a7", "#f28e2b", "#76b7b2", "#e15759", "#b07aa1", "#59a14f", "#edc948", "#9c755f",
    "#ff9da7", "#a0cbe8", "#d37295", "#8cd17d", "#8a8f98", "#b6992d",
];

/// One bar.
pub struct Bar {
    /// In front of it.
    pub label: String,
    /// Its parts, from left to right: name and length. Parts of the same name have
    /// the same colour in all bars.
    pub parts: Vec<(String, u64)>,
}

/// A chart with one bar a row, all to one scale; `unit` stands behind the totals, and
/// `names` are those of all parts in the legend's order.
pub fn stacked_bars(title: &str, unit: &str, names: &[&str], bars: &[Bar]) -> String {
    let total = |bar: &Bar| bar.parts.iter().map(|(_, length)| length).sum::<u64>();
    let longest = bars.iter().map(total).max().unwrap_or(1).max(1);
    let colour = |name: &str| {
        let position = names.iter().position(|known| *known == name).unwrap_or_default();
        COLOURS[position % COLOURS.len()]
    };
    let legend_top = TOP + bars.len() * ROW_HEIGHT + 12;
    let height = legend_top + names.len().div_ceil(LEGEND_COLUMNS) * LEGEND_ROW + 12;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>\n\
         text {{ font: 13px system-ui, \"DejaVu Sans\", sans-serif; fill: #6e7781 }}\n\
         .title {{ font-size: 15px; font-weight: 600 }}\n\
         .part {{ font-size: 11px; fill: #000 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #a5adb8 }} .part {{ fill: #000 }} }}\n\
         </style>\n\
         <text class=\"title\" x=\"8\" y=\"22\">{}</text>\n",
        escape(title)
    );
    let scale = (WIDTH - LABEL_WIDTH - TOTAL_WIDTH) as f64 / longest as f64;
    for (row, bar) in bars.iter().enumerate() {
        let y = TOP + row * ROW_HEIGHT;
        let middle = y + BAR_HEIGHT / 2 + 4;
        let mut put = |text: String| svg.push_str(&text);
        put(format!(
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\n",
            LABEL_WIDTH - 10,
            escape(&bar.label)
        ));
        let mut x = LABEL_WIDTH as f64;
        for (name, length) in &bar.parts {
            let width = *length as f64 * scale;
            let count = HumanCount(*length).to_string();
            put(format!(
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\" \
                 fill=\"{}\"><title>{}: {count} {unit}</title></rect>\n",
                colour(name),
                escape(name)
            ));
            // Where it fits.
            if width > 8.0 * count.len() as f64 {
                put(format!(
                    "<text class=\"part\" x=\"{:.1}\" y=\"{middle}\" text-anchor=\"middle\">{count}</text>\n",
                    x + width / 2.0
                ));
            }
            x += width;
        }
        let sum = HumanCount(total(bar));
        put(format!("<text x=\"{:.1}\" y=\"{middle}\">{sum} {unit}</text>\n", x + 8.0));
    }
    for (position, name) in names.iter().enumerate() {
        let x = 8 + position % LEGEND_COLUMNS * (WIDTH / LEGEND_COLUMNS);
        let y = legend_top + position / LEGEND_COLUMNS * LEGEND_ROW;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{}\"/>\
             <text x=\"{}\" y=\"{}\">{}</text>",
            colour(name),
            x + 18,
            y + 11,
            escape(name)
        );
    }
    svg + "</svg>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale_and_names_keep_their_colour() {
        let bar = |label: &str, parts: &[(&str, u64)]| Bar {
            label: label.to_owned(),
            parts: parts.iter().map(|(name, length)| ((*name).to_owned(), *length)).collect(),
        };
        // 640 pixels for the longest bar.
        let bars = [bar("long", &[("a", 640), ("b", 640)]), bar("<short>", &[("b", 320)])];
        let svg = stacked_bars("t", "CU", &["a", "b"], &bars);
        assert_eq!(svg.matches("width=\"320.0\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("width=\"160.0\"").count(), 1, "{svg}");
        assert!(svg.contains(">1,280 CU</text>") && svg.contains(">320 CU</text>"), "{svg}");
        assert!(svg.contains("&lt;short&gt;") && !svg.contains("<short>"), "{svg}");
        // Two parts and the legend.
        assert_eq!(svg.matches(COLOURS[1]).count(), 3, "{svg}");
    }
}
