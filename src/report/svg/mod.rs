//! Figures as SVG. Colours and line widths are in a style sheet, so that a page can have a light and a dark one.

mod axis;
mod heat;
mod histogram;
mod lines;
mod scatter;

use std::fmt::Write as _;

pub(super) use heat::{Columns, HeatMap};
pub(super) use histogram::Histogram;
pub(super) use lines::{Horizontal, LinePlot, Series};
pub(super) use scatter::Scatter;

use crate::report::text::Elision;

/// What figures look like: variables of colours, which a page sets for light and dark, and the classes of marks.
pub(super) const STYLE: &str = "\
svg text{fill:var(--soft);font-family:system-ui,sans-serif;font-size:12px}\
svg .name{fill:var(--ink);font-weight:600;font-size:13px}\
svg .grid{stroke:var(--line);stroke-width:1}\
svg .mark{fill:none;stroke-width:1.75;stroke-linejoin:round}\
svg .band{stroke:none;opacity:.18}\
svg .dot,svg .bar{fill:var(--mark);fill-opacity:.7}\
svg .dots{fill:none;stroke:var(--mark);stroke-opacity:.6;stroke-width:4;stroke-linecap:round}\
svg .beside{fill:var(--ink);font-size:11px}\
svg .limit{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 4}";

/// Colours of few series, which people who do not see all colours can tell apart (Okabe and Ito 2008).
const FEW: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];

/// A scale of colours, dark to light, in which equal steps look equal (viridis, without its ends).
const RAMP: [(u8, u8, u8); 6] =
    [(72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (53, 183, 121), (160, 200, 40)];

/// About the width of a character of a title.
const TITLE_CHARACTER: f64 = 7.4;

/// The colour of one of `count` series.
fn colour(at: usize, count: usize) -> String {
    match FEW.get(at).filter(|_| count <= FEW.len()) {
        Some(colour) => (*colour).to_owned(),
        None => ramp(at as f64 / (count - 1).max(1) as f64),
    }
}

/// The colour at a share of the scale, 0 to 1.
fn ramp(share: f64) -> String {
    let place = share.clamp(0.0, 1.0) * (RAMP.len() - 1) as f64;
    let at = (place as usize).min(RAMP.len() - 2);
    let (from, to, part) = (RAMP[at], RAMP[at + 1], place - at as f64);
    let mix = |from: u8, to: u8| (f64::from(from) + part * (f64::from(to) - f64::from(from))).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

/// The variables of [`STYLE`] in a file of its own: many programs that read SVG know no variables, so it has none.
const ON_WHITE: [(&str, &str); 4] =
    [("var(--ink)", "#1f2328"), ("var(--soft)", "#59636e"), ("var(--line)", "#d1d9e0"), ("var(--mark)", "#0072b2")];

/// A figure as a file: with its size, its style and a white ground.
pub(super) fn alone(figure: &str) -> String {
    let (open, rest) = figure.split_once(">\n").unwrap_or((figure, ""));
    let view = open.split("viewBox=\"0 0 ").nth(1).and_then(|view| view.split('"').next()).unwrap_or_default();
    let (width, height) = view.split_once(' ').unwrap_or_default();
    let style = ON_WHITE
        .iter()
        .fold(STYLE.replace("system-ui", "Helvetica,Arial"), |style, (name, colour)| style.replace(name, colour));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{open} width=\"{width}\" height=\"{height}\">\n\
         <style>{style}</style>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{rest}"
    )
}

/// Escapes text for HTML and SVG; names come from files.
pub(super) fn markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Neither HTML nor XML has these, and they could command a terminal.
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Names in a figure, of `most` characters at most, and all apart.
fn elided(names: &[String], most: usize) -> Vec<String> {
    crate::report::text::elided(names, most, Elision::End)
}

/// The first characters of a text.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Where a text stands in relation to its point.
#[derive(Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// A figure that is being drawn, in units of one pixel.
struct Drawing {
    text: String,
}

impl Drawing {
    /// An empty figure; `title` is what a reader of screens reads.
    fn new(width: f64, height: f64, title: &str) -> Self {
        let title = markup(title);
        Self {
            text: format!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}\">\n",
                px(width),
                px(height)
            ),
        }
    }

    fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        let (x1, y1, x2, y2) = (px(x1), px(y1), px(x2), px(y2));
        self.push(&format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>\n"));
    }

    fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        self.push(&format!("<text{class} x=\"{}\" y=\"{}\"{anchor}>{}</text>\n", px(x), px(y), markup(text)));
    }

    /// The title, as much of it as there is room for between `left` and `right`.
    fn title(&mut self, (left, right): (f64, f64), title: &str) {
        let most = ((right - left) / TITLE_CHARACTER) as usize;
        self.text("name", (left, 18.0), Anchor::Start, &shortened(title, most));
    }

    /// Any element with a tooltip.
    fn titled(&mut self, element: &str, attributes: &str, title: &str) {
        self.push(&format!("<{element} {attributes}><title>{}</title></{element}>\n", markup(title)));
    }

    fn push(&mut self, text: &str) {
        self.text += text;
    }

    fn finish(self) -> String {
        self.text + "</svg>\n"
    }
}

/// A coordinate, to a tenth of a pixel.
fn px(value: f64) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    // -0 is `0`.
    if tenths == 0.0 { "0".to_owned() } else { tenths.to_string() }
}

/// The path through points; a gap where one is missing.
fn through(points: impl Iterator<Item = Option<(f64, f64)>>) -> String {
    let mut path = String::new();
    let mut begins = true;
    for point in points {
        match point {
            Some((x, y)) => {
                // Writing to a string cannot fail.
                let _ = write!(path, "{}{} {}", if begins { 'M' } else { 'L' }, px(x), px(y));
                begins = false;
            }
            None => begins = true,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_files_are_no_markup() {
        assert_eq!(markup("<b>\"a\" & 'b'\u{1b}"), "&lt;b&gt;&quot;a&quot; &amp; &#39;b&#39;\u{fffd}");
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("äöü", 3), "äöü");
    }

    #[test]
    fn a_figure_alone_has_all_it_needs() {
        let mut drawing = Drawing::new(640.0, 280.5, "a & b");
        drawing.text("name", (1.0, 2.0), Anchor::Start, "a");
        let file = alone(&drawing.finish());
        assert!(file.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns="), "{file}");
        assert!(file.contains(" width=\"640\" height=\"280.5\">\n<style>") && file.ends_with("</text>\n</svg>\n"));
        assert!(!file.contains("var(") && file.contains("aria-label=\"a &amp; b\""));
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([px(1.0), px(-0.04), px(2.25), px(100.049)], ["1", "0", "2.3", "100"]);
        assert_eq!(through([Some((0.0, 1.0)), Some((2.0, 3.5)), None, Some((4.0, 5.0))].into_iter()), "M0 1L2 3.5M4 5");
    }

    #[test]
    fn colours_go_from_end_to_end() {
        assert_eq!([ramp(0.0), ramp(1.0), ramp(0.5)], ["#482878", "#a0c828", "#2c758e"]);
        assert_eq!(colour(1, 2), FEW[1]);
        assert_eq!(colour(19, 20), ramp(1.0));
    }
}
