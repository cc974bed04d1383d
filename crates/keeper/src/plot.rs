//! Curves, in a terminal and as SVG.

use std::fmt::Write as _;

/// Columns of the terminal's drawing area.
const WIDTH: usize = 61;
/// Rows of the terminal's drawing area.
const HEIGHT: usize = 13;

/// Steps of a curve in an SVG.
const STEPS: usize = 400;
/// The SVG's size and its drawing area: left, top, right, bottom.
const CANVAS: (f64, f64) = (800.0, 440.0);
const AREA: (f64, f64, f64, f64) = (90.0, 50.0, 770.0, 370.0);

/// A curve over a range with one point marked.
pub struct Plot<'a> {
    /// What is shown.
    pub title: &'a str,
    /// Caption of the horizontal axis.
    pub x: &'a str,
    /// Caption of the vertical axis.
    pub y: &'a str,
    /// Horizontal range.
    pub range: (f64, f64),
    /// Today's position on the horizontal axis.
    pub today: f64,
    /// Horizontal line to compare with, and its name.
    pub limit: Option<(f64, &'a str)>,
    /// Another curve, and the names of both.
    pub beside: Option<Beside<'a>>,
    /// The curve; points where it has no value are left out.
    pub curve: &'a dyn Fn(f64) -> Option<f64>,
    /// Formats numbers of the horizontal axis.
    pub label_x: fn(f64) -> String,
    /// Formats numbers of the vertical axis.
    pub label_y: fn(f64) -> String,
}

/// A curve beside the first.
pub struct Beside<'a> {
    /// Name of the first.
    pub first: &'a str,
    pub name: &'a str,
    pub curve: &'a dyn Fn(f64) -> Option<f64>,
}

impl Plot<'_> {
    fn value(&self, at: f64) -> Option<f64> {
        (self.curve)(at).filter(|value| value.is_finite())
    }

    /// Values at so many points over the range, and the lowest, zero or less, and the
    /// highest of all that is drawn.
    fn sample(&self, points: usize) -> (Vec<(f64, Option<f64>)>, f64, f64) {
        let (from, to) = self.range;
        let at = |point: usize| from + (to - from) * point as f64 / (points - 1) as f64;
        let values: Vec<_> = (0..points).map(|point| (at(point), self.value(at(point)))).collect();
        let limit = self.limit.map(|(value, _)| value);
        let beside = self
            .beside
            .iter()
            .flat_map(|beside| (0..points).filter_map(|point| (beside.curve)(at(point))));
        let drawn = values.iter().filter_map(|(_, value)| *value).chain(limit).chain(beside);
        let (bottom, top) = drawn
            .fold((0.0f64, 1e-9f64), |(bottom, top), value| (bottom.min(value), top.max(value)));
        (values, bottom, top)
    }

    /// Draws with letters.
    pub fn ascii(&self) -> String {
        let (from, to) = self.range;
        let (values, _, top) = self.sample(WIDTH);
        let limit = self.limit.map(|(value, _)| value);
        let row_of = |value: f64| {
            let row = (value.max(0.0) / top * (HEIGHT - 1) as f64).round() as usize;
            HEIGHT - 1 - row.min(HEIGHT - 1)
        };

        let mut cells = vec![vec![' '; WIDTH]; HEIGHT];
        if let Some(limit) = limit {
            cells[row_of(limit)].fill('-');
        }
        for (column, (_, value)) in values.iter().enumerate() {
            if let Some(value) = value {
                cells[row_of(*value)][column] = '*';
            }
        }
        let today = ((self.today - from) / (to - from)).clamp(0.0, 1.0);
        let today = (today * (WIDTH - 1) as f64).round() as usize;
        if let Some(value) = self.value(self.today) {
            cells[row_of(value)][today] = 'o';
        }

        let axis: Vec<String> = (0..HEIGHT)
            .map(|row| match row {
                0 => (self.label_y)(top),
                row if row == HEIGHT - 1 => (self.label_y)(0.0),
                row if limit.is_some_and(|limit| row_of(limit) == row) => {
                    (self.label_y)(limit.unwrap_or_default())
                }
                _ => String::new(),
            })
            .collect();
        let margin = axis.iter().map(|label| label.chars().count()).max().unwrap_or(0);
        let mut text = format!("  {}\n", self.y);
        for (label, row) in axis.iter().zip(&cells) {
            let row: String = row.iter().collect();
            text.push_str(&format!("  {label:>margin$} |{}\n", row.trim_end()));
        }
        text.push_str(&format!("  {:margin$} +{}\n", "", "-".repeat(WIDTH)));
        let (left, right) = ((self.label_x)(from), (self.label_x)(to));
        let gap = WIDTH.saturating_sub(left.chars().count() + right.chars().count());
        let gap = " ".repeat(gap.max(1));
        text.push_str(&format!("  {:margin$}  {left}{gap}{right}  {}\n", "", self.x));
        text.push_str(&format!("  {:margin$}  o = today, {}", "", (self.label_x)(self.today)));
        if let Some((value, name)) = self.limit {
            text.push_str(&format!("; --- = {name}, {}", (self.label_y)(value)));
        }
        text.push('\n');
        text
    }

    /// Draws as an SVG document.
    pub fn svg(&self) -> String {
        let (from, to) = self.range;
        let (values, bottom, top) = self.sample(STEPS + 1);
        let (left, upper, right, lower) = AREA;
        let x_of = |at: f64| left + (right - left) * ((at - from) / (to - from)).clamp(0.0, 1.0);
        let y_of = |value: f64| {
            lower - (lower - upper) * ((value - bottom) / (top - bottom)).clamp(0.0, 1.0)
        };

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" \
             font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
             <title>{title}</title>\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"#ffffff\"/>\n\
             <text x=\"{left}\" y=\"26\" font-size=\"16\" fill=\"#222222\">{title}</text>\n",
            w = CANVAS.0,
            h = CANVAS.1,
            title = escape(self.title),
        );
        // Writing to a string does not fail.
        const MARKS: usize = 5;
        for mark in 0..MARKS {
            let share = mark as f64 / (MARKS - 1) as f64;
            let (x, y) = (left + (right - left) * share, lower - (lower - upper) * share);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>",
                left - 8.0,
                y + 4.0,
                escape(&(self.label_y)(bottom + (top - bottom) * share)),
                lower + 20.0,
                escape(&(self.label_x)(from + (to - from) * share)),
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>\
             <text x=\"{left}\" y=\"{}\" fill=\"#222222\">{}</text>",
            (left + right) / 2.0,
            lower + 42.0,
            escape(self.x),
            upper - 8.0,
            escape(self.y),
        );
        if let Some((value, name)) = self.limit {
            let y = y_of(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#c0392b\" stroke-dasharray=\"6 4\"/>\
                 <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#c0392b\">{}, {}</text>",
                y - 6.0,
                escape(name),
                escape(&(self.label_y)(value)),
            );
        }
        // A curve with gaps is several lines.
        for run in values.split(|(_, value)| value.is_none()).filter(|run| !run.is_empty()) {
            let points: Vec<String> = run
                .iter()
                .filter_map(|(at, value)| {
                    value.map(|value| format!("{:.1},{:.1}", x_of(*at), y_of(value)))
                })
                .collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\" points=\"{}\"/>",
                points.join(" ")
            );
        }
        if let Some(Beside { first, name, curve }) = &self.beside {
            let points: Vec<String> = values
                .iter()
                .filter_map(|(at, _)| Some(format!("{:.1},{:.1}", x_of(*at), y_of(curve(*at)?))))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"#c0392b\" stroke-width=\"2\" points=\"{}\"/>\
                 <text x=\"{}\" y=\"{}\" fill=\"#1f6feb\">{}</text>\
                 <text x=\"{}\" y=\"{}\" fill=\"#c0392b\">{}</text>",
                points.join(" "),
                left + 10.0,
                upper + 16.0,
                escape(first),
                left + 10.0,
                upper + 34.0,
                escape(name),
            );
        }
        if let Some(value) = self.value(self.today) {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"#e67e22\"/>\
                 <text x=\"{left}\" y=\"{}\" fill=\"#e67e22\">today: {}, {}</text>",
                x_of(self.today),
                y_of(value),
                lower + 62.0,
                escape(&(self.label_x)(self.today)),
                escape(&(self.label_y)(value)),
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Text as it may stand in XML and HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot<'a>(curve: &'a dyn Fn(f64) -> Option<f64>, limit: Option<(f64, &'a str)>) -> Plot<'a> {
        Plot {
            title: "a < b",
            x: "x",
            y: "y",
            range: (0.0, 1.0),
            today: 0.5,
            limit,
            beside: None,
            curve,
            label_x: |x| format!("{x:.1}"),
            label_y: |y| format!("{y:.2}"),
        }
    }

    #[test]
    fn a_straight_line_rises_from_corner_to_corner() {
        let text = plot(&Some, Some((0.75, "cap"))).ascii();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("  1.00 |") && lines[1].ends_with('*'), "{text}");
        assert!(lines[HEIGHT].starts_with("  0.00 |*"), "{text}");
        let marks = text.matches('o').count() - "o = today".matches('o').count();
        assert_eq!(marks, 1, "{text}");
        assert!(text.contains("--- = cap, 0.75") && text.contains("o = today, 0.5"), "{text}");
    }

    #[test]
    fn no_values_draw_no_curve() {
        let text = plot(&|_| None, None).ascii();
        assert!(!text.contains('*'), "{text}");
        let svg = plot(&|_| None, None).svg();
        assert!(!svg.contains("polyline") && !svg.contains("circle"), "{svg}");
    }

    #[test]
    fn an_svg_has_curve_point_and_limit_in_the_drawing_area() {
        let svg = plot(&Some, Some((0.75, "cap"))).svg();
        let (left, upper, right, lower) = AREA;
        assert!(svg.contains(&format!("points=\"{left:.1},{lower:.1} ")), "{svg}");
        assert!(svg.contains(&format!(" {right:.1},{upper:.1}\"")), "{svg}");
        let middle = ((left + right) / 2.0, (upper + lower) / 2.0);
        assert!(svg.contains(&format!("cx=\"{:.1}\" cy=\"{:.1}\"", middle.0, middle.1)), "{svg}");
        assert!(svg.contains("cap, 0.75") && svg.contains("<title>a &lt; b</title>"), "{svg}");
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
        let beside = Beside { first: "one", name: "two < three", curve: &|x| Some(3.0 * x) };
        let both = Plot { beside: Some(beside), ..plot(&Some, None) }.svg();
        assert!(
            both.contains("two &lt; three") && both.matches("<polyline").count() == 2,
            "{both}"
        );
        // The axis holds both.
        assert!(both.contains(">3.00<"), "{both}");
        // A gap in the middle makes two lines.
        let gap = |x: f64| ((x - 0.5).abs() > 0.1).then_some(x);
        assert_eq!(plot(&gap, None).svg().matches("<polyline").count(), 2);
    }
}
