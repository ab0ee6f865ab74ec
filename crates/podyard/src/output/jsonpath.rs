//! `-o jsonpath=TEMPLATE` and the paths of `-o custom-columns=…`: kubectl's dialect, which no JSONPath library speaks.
//!
//! A template is text with expressions in braces: `{.items[*].metadata.name}`, `{range .items[*]}…{end}`, `{"\n"}`. A path goes by
//! `.field`, `['field']`, `[0]`, `[-1]`, `[1:3]`, `[0,2]`, `[*]`, `..field` and `[?(@.type=="Ready")]`. What is missing prints nothing.
//! See <https://kubernetes.io/docs/reference/kubectl/jsonpath/>.

use serde_json::Value;

/// A template, ready to be filled in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Path(Path),
    Range(Path, Vec<Self>),
}

/// Steps from an object to some of the values in it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    steps: Vec<Step>,
    /// `$`: from the whole object, also inside a range.
    is_absolute: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Descendants,
    Every,
    Index(i64),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: usize,
    },
    Union(Vec<Self>),
    Filter {
        left: Operand,
        test: Option<(Comparison, Operand)>,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Path(Path),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Template {
    /// Reads a template; an error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text };
        let parts = parser.parts(false)?;
        Ok(Self(parts))
    }

    /// Fills it in.
    pub(crate) fn render(&self, root: &Value) -> String {
        let mut out = String::new();
        render(&self.0, root, root, &mut out);
        out
    }
}

fn render(parts: &[Part], root: &Value, current: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let found: Vec<String> = path.find(root, current).into_iter().map(text).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(path, inner) => {
                for value in path.find(root, current) {
                    render(inner, root, value, out);
                }
            }
        }
    }
}

/// A value as kubectl prints it: text without quotes, everything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Path {
    /// Reads the path of a custom column, with or without braces and the leading dot.
    pub(crate) fn parse(expression: &str) -> Result<Self, String> {
        let inner = expression
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or(expression);
        let has_start = inner.starts_with(['.', '[', '$', '@']);
        let dotted = if has_start {
            inner.to_owned()
        } else {
            format!(".{inner}")
        };
        let mut parser = Parser { rest: &dotted };
        let path = parser.path()?;
        parser.end(expression)?;
        Ok(path)
    }

    /// What the path leads to, as text.
    pub(crate) fn texts(&self, object: &Value) -> Vec<String> {
        let found = self.find(object, object).into_iter();
        found.filter(|value| !value.is_null()).map(text).collect()
    }

    /// The values of a custom column: joined by commas, `<none>` if there are none.
    pub(crate) fn column(&self, object: &Value) -> String {
        let texts = self.texts(object);
        if texts.is_empty() {
            "<none>".to_owned()
        } else {
            texts.join(",")
        }
    }

    /// The order of two objects by the first thing that the path leads to in each: numbers by their size, all else as text, nothing first.
    pub(crate) fn compare(&self, one: &Value, other: &Value) -> std::cmp::Ordering {
        let first = |object| self.find(object, object).into_iter().next();
        match (first(one), first(other)) {
            (Some(Value::Number(one)), Some(Value::Number(other))) => {
                let of = |number: &serde_json::Number| number.as_f64().unwrap_or_default();
                of(one).total_cmp(&of(other))
            }
            (one, other) => one.map(text).cmp(&other.map(text)),
        }
    }

    fn find<'a>(&self, root: &'a Value, current: &'a Value) -> Vec<&'a Value> {
        let start = if self.is_absolute { root } else { current };
        self.steps.iter().fold(vec![start], |values, step| {
            values
                .into_iter()
                .flat_map(|value| step.apply(root, value))
                .collect()
        })
    }
}

impl Step {
    fn apply<'a>(&self, root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Every => children(value),
            Self::Descendants => {
                let mut all = vec![value];
                let mut next = 0;
                while let Some(value) = all.get(next).copied() {
                    all.extend(children(value));
                    next += 1;
                }
                all
            }
            Self::Index(index) => value
                .as_array()
                .and_then(|list| list.get(position(*index, list.len())?))
                .into_iter()
                .collect(),
            Self::Slice { from, to, step } => {
                let Some(list) = value.as_array() else {
                    return Vec::new();
                };
                let bound = |bound: &Option<i64>, default| {
                    bound.map_or(default, |bound| position(bound, list.len()).unwrap_or(0))
                };
                let (from, to) = (bound(from, 0), bound(to, list.len()).min(list.len()));
                let range = list.get(from..to).unwrap_or_default();
                range.iter().step_by(*step).collect()
            }
            Self::Union(steps) => steps
                .iter()
                .flat_map(|step| step.apply(root, value))
                .collect(),
            Self::Filter { left, test } => children(value)
                .into_iter()
                .filter(|child| passes(left, test.as_ref(), root, child))
                .collect(),
        }
    }
}

/// Negative ones count from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    if index < 0 {
        length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    } else {
        usize::try_from(index).ok()
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn passes(
    left: &Operand,
    test: Option<&(Comparison, Operand)>,
    root: &Value,
    child: &Value,
) -> bool {
    let values = |operand: &Operand| -> Vec<Value> {
        match operand {
            Operand::Path(path) => path.find(root, child).into_iter().cloned().collect(),
            Operand::Literal(value) => vec![value.clone()],
        }
    };
    let left = values(left);
    let Some((comparison, right)) = test else {
        return !left.is_empty();
    };
    let right = values(right);
    let (Some(left), Some(right)) = (left.first(), right.first()) else {
        return false;
    };
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => left.partial_cmp(right),
        _ => None,
    };
    match comparison {
        Comparison::Equal => left == right || order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::NotEqual => left != right && !order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    /// Up to the end of the text, or to `{end}` inside a range.
    fn parts(&mut self, is_inside: bool) -> Result<Vec<Part>, String> {
        let mut parts = Vec::new();
        loop {
            let brace = self.rest.find('{').unwrap_or(self.rest.len());
            let (before, rest) = self.rest.split_at(brace);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            self.rest = rest;
            if !self.take("{") {
                return if is_inside {
                    Err("`{range …}` without `{end}`".to_owned())
                } else {
                    Ok(parts)
                };
            }
            self.blanks();
            if self.rest.starts_with(['"', '\'']) {
                parts.push(Part::Text(self.quoted()?));
            } else if self.take("range ") {
                self.blanks();
                let path = self.path()?;
                self.close()?;
                parts.push(Part::Range(path, self.parts(true)?));
                continue;
            } else if self.take("end") {
                self.close()?;
                return if is_inside {
                    Ok(parts)
                } else {
                    Err("`{end}` without `{range …}`".to_owned())
                };
            } else {
                parts.push(Part::Path(self.path()?));
            }
            self.close()?;
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.blanks();
        if self.take("}") {
            Ok(())
        } else {
            Err(format!("expected `}}` at {:?}", self.rest))
        }
    }

    fn end(&self, whole: &str) -> Result<(), String> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(format!("cannot read {:?} in {whole:?}", self.rest))
        }
    }

    fn path(&mut self) -> Result<Path, String> {
        let is_absolute = self.take("$");
        if !is_absolute {
            self.take("@");
        }
        let mut steps = Vec::new();
        loop {
            if self.take("..") {
                steps.push(Step::Descendants);
                if !self.rest.starts_with('[') {
                    steps.push(self.name()?);
                }
            } else if self.take("[") {
                steps.push(self.bracket()?);
            } else if self.rest.starts_with('.') {
                self.take(".");
                // A lone dot is the object itself.
                if !self.rest.starts_with(['[', '}', ' ', ')']) && !self.rest.is_empty() {
                    steps.push(self.name()?);
                }
            } else {
                return Ok(Path { steps, is_absolute });
            }
        }
    }

    /// A field name; a dot in it is written `\.`.
    fn name(&mut self) -> Result<Step, String> {
        let mut name = String::new();
        let mut characters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => name.extend(characters.next().map(|(_, escaped)| escaped)),
                '.' | '[' | ']' | '}' | '{' | ' ' | ')' | '=' | '!' | '<' | '>' | ',' => {
                    end = at;
                    break;
                }
                _ => name.push(character),
            }
        }
        self.rest = self.rest.get(end..).unwrap_or_default();
        match name.as_str() {
            "" => Err(format!("expected a field name at {:?}", self.rest)),
            "*" => Ok(Step::Every),
            _ => Ok(Step::Field(name)),
        }
    }

    /// After `[`, up to and with `]`.
    fn bracket(&mut self) -> Result<Step, String> {
        if self.take("?(") {
            let step = self.filter()?;
            return if self.take(")") && self.take("]") {
                Ok(step)
            } else {
                Err(format!("expected `)]` at {:?}", self.rest))
            };
        }
        let mut steps = vec![self.bracket_step()?];
        while self.take(",") {
            steps.push(self.bracket_step()?);
        }
        if !self.take("]") {
            return Err(format!("expected `]` at {:?}", self.rest));
        }
        Ok(match <[Step; 1]>::try_from(steps) {
            Ok([step]) => step,
            Err(steps) => Step::Union(steps),
        })
    }

    fn bracket_step(&mut self) -> Result<Step, String> {
        self.blanks();
        let step = if self.take("*") {
            Step::Every
        } else if self.rest.starts_with(['"', '\'']) {
            Step::Field(self.quoted()?)
        } else {
            let from = self.number();
            if self.take(":") {
                let to = self.number();
                let step = if self.take(":") { self.number() } else { None };
                let step = usize::try_from(step.unwrap_or(1)).unwrap_or_default();
                if step == 0 {
                    return Err("the step of a slice is at least 1".to_owned());
                }
                Step::Slice { from, to, step }
            } else {
                Step::Index(from.ok_or_else(|| format!("expected an index at {:?}", self.rest))?)
            }
        };
        self.blanks();
        Ok(step)
    }

    fn filter(&mut self) -> Result<Step, String> {
        self.blanks();
        let left = self.operand()?;
        self.blanks();
        // Longer ones first.
        const COMPARISONS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let comparison = COMPARISONS.into_iter().find(|(sign, _)| self.take(sign));
        let test = match comparison {
            None => None,
            Some((_, comparison)) => {
                self.blanks();
                let right = self.operand()?;
                self.blanks();
                Some((comparison, right))
            }
        };
        Ok(Step::Filter { left, test })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.rest.starts_with(['"', '\'']) {
            return Ok(Operand::Literal(Value::String(self.quoted()?)));
        }
        for (word, value) in [("true", true), ("false", false)] {
            if self.take(word) {
                return Ok(Operand::Literal(Value::Bool(value)));
            }
        }
        if let Some(number) = self.number() {
            return Ok(Operand::Literal(number.into()));
        }
        self.path().map(Operand::Path)
    }

    fn number(&mut self) -> Option<i64> {
        let digits = |text: &str| {
            text.find(|character: char| !character.is_ascii_digit())
                .unwrap_or(text.len())
        };
        let sign = usize::from(self.rest.starts_with('-'));
        let end = sign + digits(&self.rest[sign..]);
        let number = self.rest[..end].parse().ok()?;
        self.rest = &self.rest[end..];
        Some(number)
    }

    /// Text in single or double quotes, with the usual escapes.
    fn quoted(&mut self) -> Result<String, String> {
        let mut characters = self.rest.char_indices();
        let quote = characters.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next().map(|(_, escaped)| escaped) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(other) => text.push(other),
                    None => break,
                },
                _ if Some(character) == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(text);
                }
                _ => text.push(character),
            }
        }
        Err(format!("unterminated text at {:?}", self.rest))
    }

    fn take(&mut self, wanted: &str) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        serde_json::json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "x"}}, "status": {"phase": "Running", "restarts": 1}},
                {"metadata": {"name": "b"}, "status": {"phase": "Failed", "restarts": 3}},
                {"metadata": {"name": "c"}, "status": {"phase": "Running", "restarts": 5, "ready": true}},
            ],
        })
    }

    #[test]
    fn templates_are_filled_in() {
        for (template, expected) in [
            ("{.kind}", "List"),
            ("kind={.kind}!", "kind=List!"),
            ("{.items[*].metadata.name}", "a b c"),
            ("{.items[0].metadata.name}", "a"),
            ("{.items[-1].metadata.name}", "c"),
            ("{.items[9].metadata.name}", ""),
            ("{.items[0,2].metadata.name}", "a c"),
            ("{.items[1:].metadata.name}", "b c"),
            ("{.items[:2].metadata.name}", "a b"),
            ("{.items[::2].metadata.name}", "a c"),
            ("{.items[0]['metadata'].name}", "a"),
            (
                "{.items[0].metadata.labels.app\\.kubernetes\\.io/name}",
                "x",
            ),
            (
                "{.items[?(@.status.phase==\"Running\")].metadata.name}",
                "a c",
            ),
            ("{.items[?(@.status.phase!='Running')].metadata.name}", "b"),
            ("{.items[?(@.status.restarts>1)].metadata.name}", "b c"),
            ("{.items[?(@.status.restarts<=3)].metadata.name}", "a b"),
            ("{.items[?(@.status.ready)].metadata.name}", "c"),
            ("{.items[?(@.status.ready==true)].metadata.name}", "c"),
            ("{..name}", "a b c"),
            (
                "{range .items[*]}{.metadata.name}:{.status.phase}{\"\\n\"}{end}",
                "a:Running\nb:Failed\nc:Running\n",
            ),
            (
                "{range .items[*]}{$.kind}{'\\t'}{end}",
                "List\tList\tList\t",
            ),
            (
                "{.items[1].status}",
                "{\"phase\":\"Failed\",\"restarts\":3}",
            ),
            ("{.nothing.here}", ""),
            ("{.missing}|{.kind}", "|List"),
            ("plain", "plain"),
        ] {
            let filled = Template::parse(template).map(|template| template.render(&sample()));
            assert_eq!(filled.as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (template, expected) in [
            ("{.kind", "expected `}` at \"\""),
            ("{range .items[*]}x", "`{range …}` without `{end}`"),
            ("{end}", "`{end}` without `{range …}`"),
            ("{.items[x]}", "expected an index at \"x]}\""),
            ("{.items[0}", "expected `]` at \"}\""),
            ("{\"open}", "unterminated text at \"\\\"open}\""),
            ("{.items[?(@.a==1]}", "expected `)]` at \"]}\""),
        ] {
            assert_eq!(
                Template::parse(template),
                Err(expected.to_owned()),
                "{template}"
            );
        }
    }

    #[test]
    fn columns_take_paths_in_any_dress() {
        let object = sample();
        for (path, expected) in [
            (".items[0].metadata.name", "a"),
            ("items[0].metadata.name", "a"),
            ("{.items[0].metadata.name}", "a"),
            (".items[*].metadata.name", "a,b,c"),
            (".items[0].spec", "<none>"),
        ] {
            let column = Path::parse(path).map(|path| path.column(&object));
            assert_eq!(column.as_deref(), Ok(expected), "{path}");
        }
        assert!(Path::parse(".a]").is_err());
    }
}
