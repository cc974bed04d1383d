//! Curves in a terminal.

/// Columns of the drawing area.
const WIDTH: usize = 61;
/// Rows of the drawing area.
const HEIGHT: usize = 13;

/// A curve over `[from, to]` with one point marked.
pub struct Plot<'a> {
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
}

impl Plot<'_> {
    /// Draws `curve`; points where it has no value are left out. `label` formats
    /// numbers of either axis.
    pub fn draw(
        &self,
        curve: impl Fn(f64) -> Option<f64>,
        label_x: impl Fn(f64) -> String,
        label_y: impl Fn(f64) -> String,
    ) -> String {
        let (from, to) = self.range;
        let at = |column: usize| from + (to - from) * column as f64 / (WIDTH - 1) as f64;
        let values: Vec<Option<f64>> =
            (0..WIDTH).map(|column| curve(at(column)).filter(|value| value.is_finite())).collect();
        let limit = self.limit.map(|(value, _)| value);
        let top = values.iter().flatten().copied().chain(limit).fold(0.0f64, f64::max).max(1e-9);
        let row_of = |value: f64| {
            let row = (value.max(0.0) / top * (HEIGHT - 1) as f64).round() as usize;
            HEIGHT - 1 - row.min(HEIGHT - 1)
        };

        let mut cells = vec![vec![' '; WIDTH]; HEIGHT];
        if let Some(limit) = limit {
            cells[row_of(limit)].fill('-');
        }
        for (column, value) in values.iter().enumerate() {
            if let Some(value) = value {
                cells[row_of(*value)][column] = '*';
            }
        }
        let today = ((self.today - from) / (to - from)).clamp(0.0, 1.0);
        let today = (today * (WIDTH - 1) as f64).round() as usize;
        if let Some(value) = curve(self.today).filter(|value| value.is_finite()) {
            cells[row_of(value)][today] = 'o';
        }

        let axis: Vec<String> = (0..HEIGHT)
            .map(|row| match row {
                0 => label_y(top),
                row if row == HEIGHT - 1 => label_y(0.0),
                row if limit.is_some_and(|limit| row_of(limit) == row) => {
                    label_y(limit.unwrap_or_default())
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
        let (left, right) = (label_x(from), label_x(to));
        let gap = WIDTH.saturating_sub(left.chars().count() + right.chars().count());
        let gap = " ".repeat(gap.max(1));
        text.push_str(&format!("  {:margin$}  {left}{gap}{right}  {}\n", "", self.x));
        text.push_str(&format!("  {:margin$}  o = today, {}", "", label_x(self.today)));
        if let Some((value, name)) = self.limit {
            text.push_str(&format!("; --- = {name}, {}", label_y(value)));
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_rises_from_corner_to_corner() {
        let plot =
            Plot { x: "x", y: "y", range: (0.0, 1.0), today: 0.5, limit: Some((0.75, "cap")) };
        let text = plot.draw(Some, |x| format!("{x:.1}"), |y| format!("{y:.2}"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("  1.00 |") && lines[1].ends_with('*'), "{text}");
        assert!(lines[HEIGHT].starts_with("  0.00 |*"), "{text}");
        let marks = text.matches('o').count() - "o = today".matches('o').count();
        assert_eq!(marks, 1, "{text}");
        assert!(text.contains("--- = cap, 0.75") && text.contains("o = today, 0.5"), "{text}");
    }

    #[test]
    fn no_values_draw_no_curve() {
        let plot = Plot { x: "x", y: "y", range: (0.0, 1.0), today: 0.0, limit: None };
        let text = plot.draw(|_| None, |x| x.to_string(), |y| format!("{y:.0}"));
        assert!(!text.contains('*'), "{text}");
    }
}
