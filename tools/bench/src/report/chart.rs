//! A chart of lines as inline SVG, with what the page's script needs to show values under the pointer.

use std::fmt::Write as _;

use super::axis::Scale;
use super::escape;

/// Pixels around the plot: room for ticks and names.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;

/// Points of a line that lie closer than this are drawn as one.
const PIXELS_MIN: f64 = 0.4;

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// From values to places.
    pub scale: Scale,
    /// Ticks with their texts.
    pub ticks: Vec<(f64, String)>,
    /// What it shows.
    pub name: String,
}

impl Axis {
    /// An axis with the scale's own ticks.
    pub fn new(scale: Scale, name: &str, text: impl Fn(f64) -> String) -> Self {
        let ticks = scale.ticks().into_iter().map(|tick| (tick, text(tick))).collect();
        Self { scale, ticks, name: name.to_owned() }
    }
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// A line.
    Solid,
    /// Dashes: what was meant, or what is counted otherwise.
    Dashed,
    /// Thin: extremes.
    Thin,
    /// A line with a dot at each point.
    Dotted,
    /// Broad and pale, so that a line upon it leaves it visible.
    Broad,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its colour: a number of the page's style, from 1.
    pub colour: u8,
    /// How it looks.
    pub look: Look,
    /// Its points, ascending in x.
    pub points: Vec<(f64, f64)>,
}

/// A place marked across the chart.
#[derive(Clone, Debug)]
pub struct Mark {
    /// What happened there, or what the limit is.
    pub name: String,
    /// On the x axis; else on the y axis.
    pub vertical: bool,
    /// Where.
    pub at: f64,
}

/// Everything a chart shows.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Heading.
    pub title: String,
    /// What to know to read it, in a sentence.
    pub note: String,
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// The lines, the first below the others.
    pub lines: Vec<Line>,
    /// The marks.
    pub marks: Vec<Mark>,
    /// What to draw below the lines, as SVG.
    pub below: String,
    /// What stands beside the heading, as HTML.
    pub aside: String,
    /// Values by the pointer's place.
    pub hover: Option<Hover>,
}

/// What stands under the pointer at each x.
#[derive(Clone, Debug, Default)]
pub struct Hover {
    /// Values of x with their texts.
    pub at: Vec<(f64, String)>,
    /// Rows: name, colour, a text per x. An empty text is left out.
    pub rows: Vec<(String, u8, Vec<String>)>,
}

impl Chart {
    /// Pixel of an x.
    #[must_use]
    pub fn px(&self, x: f64) -> f64 {
        LEFT + self.x.scale.place(x) * (self.width - LEFT - RIGHT)
    }

    /// Pixel of a y.
    #[must_use]
    pub fn py(&self, y: f64) -> f64 {
        self.height - BOTTOM - self.y.scale.place(y) * (self.height - TOP - BOTTOM)
    }

    /// The chart as HTML: heading, legend, picture.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = format!("<figure class=\"chart\"><figcaption><h3>{}</h3>", escape(&self.title));
        if self.lines.len() > 1 {
            out.push_str("<ul class=\"legend\">");
            for line in &self.lines {
                let _ = write!(
                    out,
                    "<li><svg viewBox=\"0 0 22 8\" width=\"22\" height=\"8\" aria-hidden=\"true\"><path d=\"M1 4H21\" class=\"{}\"/></svg>{}</li>",
                    class(line),
                    escape(&line.name)
                );
            }
            out.push_str("</ul>");
        }
        out.push_str(&self.aside);
        out.push_str("</figcaption>");
        self.picture(&mut out);
        if !self.note.is_empty() {
            let _ = write!(out, "<p class=\"note\">{}</p>", escape(&self.note));
        }
        out.push_str("</figure>\n");
        out
    }

    fn picture(&self, out: &mut String) {
        let (width, height) = (self.width, self.height);
        let hover = self.hover.as_ref().map_or_else(String::new, |hover| self.hover_data(hover));
        let _ = write!(
            out,
            "<div class=\"plot\"{hover}><svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(&self.title)
        );
        let (right, bottom) = (width - RIGHT, height - BOTTOM);
        for (value, text) in &self.y.ticks {
            let y = self.py(*value);
            let _ = write!(out, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                escape(text)
            );
        }
        for (value, text) in &self.x.ticks {
            let x = self.px(*value);
            let _ = write!(out, "<path class=\"grid faint\" d=\"M{x:.1} {TOP}V{bottom}\"/>");
            let _ = write!(
                out,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                escape(text)
            );
        }
        let _ = write!(out, "<path class=\"base\" d=\"M{LEFT} {bottom}H{right}\"/>");
        let _ = write!(
            out,
            "<text class=\"name\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            height - 6.0,
            escape(&self.x.name)
        );
        out.push_str(&self.below);
        for mark in &self.marks {
            self.mark(mark, out);
        }
        for line in &self.lines {
            self.line(line, out);
        }
        let _ = write!(out, "<path class=\"cursor\" d=\"M0 {TOP}V{bottom}\"/></svg></div>");
    }

    fn mark(&self, mark: &Mark, out: &mut String) {
        let (right, bottom) = (self.width - RIGHT, self.height - BOTTOM);
        let name = escape(&mark.name);
        if mark.vertical {
            let x = self.px(mark.at);
            let _ = write!(out, "<path class=\"mark\" d=\"M{x:.1} {TOP}V{bottom}\"/>");
            let _ = write!(out, "<text class=\"marked\" x=\"{:.1}\" y=\"{}\">{name}</text>", x + 5.0, TOP + 10.0);
        } else {
            let y = self.py(mark.at);
            let _ = write!(out, "<path class=\"mark\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ = write!(out, "<text class=\"marked\" x=\"{}\" y=\"{:.1}\">{name}</text>", LEFT + 6.0, y - 5.0);
        }
    }

    fn line(&self, line: &Line, out: &mut String) {
        let mut path = String::new();
        let mut last = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        let end = line.points.len().saturating_sub(1);
        for (nth, (x, y)) in line.points.iter().enumerate() {
            // A point that is not a number interrupts the line.
            if !y.is_finite() {
                last = (f64::NEG_INFINITY, f64::NEG_INFINITY);
                continue;
            }
            let at = (self.px(*x), self.py(*y));
            let is_far = (at.0 - last.0).abs() >= PIXELS_MIN || (at.1 - last.1).abs() >= PIXELS_MIN;
            if !is_far && nth != end {
                continue;
            }
            let command = if last.0.is_finite() { 'L' } else { 'M' };
            let _ = write!(path, "{command}{:.1} {:.1}", at.0, at.1);
            last = at;
        }
        if path.is_empty() {
            return;
        }
        let _ = write!(out, "<path class=\"{}\" d=\"{path}\"/>", class(line));
        let is_dotted = line.look == Look::Dotted || line.points.len() == 1;
        for (x, y) in line.points.iter().filter(|(_, y)| is_dotted && y.is_finite()) {
            let _ = write!(
                out,
                "<circle class=\"dot c{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                line.colour,
                self.px(*x),
                self.py(*y)
            );
        }
    }

    /// The attribute that the script reads.
    fn hover_data(&self, hover: &Hover) -> String {
        let xs: Vec<_> = hover.at.iter().map(|(x, _)| (self.px(*x) * 10.0).round() / 10.0).collect();
        let names: Vec<_> = hover.at.iter().map(|(_, text)| text).collect();
        let rows: Vec<_> =
            hover.rows.iter().map(|(name, colour, texts)| serde_json::json!([name, colour, texts])).collect();
        let data = serde_json::json!({ "w": self.width, "x": xs, "t": names, "r": rows });
        format!(" data-hover=\"{}\"", escape(&data.to_string()))
    }
}

fn class(line: &Line) -> String {
    let look = match line.look {
        Look::Solid | Look::Dotted => "",
        Look::Dashed => " dashed",
        Look::Thin => " thin",
        Look::Broad => " broad",
    };
    format!("line c{}{look}", line.colour)
}
