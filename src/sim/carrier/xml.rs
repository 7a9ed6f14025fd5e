//! XML 1.0 as far as TwiML uses it, read strictly: what is not well-formed is refused with its line.
//!
//! Knows no verb. No document types, hence no entities but the five and character references.

/// Elements deeper than this are refused; TwiML needs four.
const DEPTH_MAX: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct XmlError {
    line: usize,
    what: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    /// All text directly inside, joined.
    pub(crate) text: String,
}

impl Element {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The root element of a document.
pub(crate) fn parse(document: &str) -> Result<Element, XmlError> {
    let mut reader = Reader { document, at: 0 };
    if let Some(at) = document.find(|c| !is_xml_char(c)) {
        reader.at = at;
        return Err(reader.error("a character that XML 1.0 does not allow"));
    }
    reader.take("\u{FEFF}");
    if reader.take("<?xml") {
        reader.until("?>", "an XML declaration without an end")?;
    }
    reader.skip_misc()?;
    let root = reader.element(0)?;
    reader.skip_misc()?;
    if reader.rest().is_empty() { Ok(root) } else { Err(reader.error("content after the root element")) }
}

fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | ':') || !c.is_ascii()
}

fn is_name_char(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit() || matches!(c, '-' | '.')
}

struct Reader<'a> {
    document: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.document[self.at..]
    }

    fn error(&self, what: impl Into<String>) -> XmlError {
        let line = self.document[..self.at].matches('\n').count() + 1;
        XmlError { line, what: what.into() }
    }

    /// Steps over `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        self.at += if found { token.len() } else { 0 };
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), XmlError> {
        if self.take(token) { Ok(()) } else { Err(self.error(format!("expected {token:?}"))) }
    }

    /// Everything up to `end`, which is stepped over.
    fn until(&mut self, end: &str, or_else: &str) -> Result<&'a str, XmlError> {
        let length = self.rest().find(end).ok_or_else(|| self.error(or_else))?;
        let text = &self.rest()[..length];
        self.at += length + end.len();
        Ok(text)
    }

    fn while_(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let text = &rest[..rest.find(|c| !wanted(c)).unwrap_or(rest.len())];
        self.at += text.len();
        text
    }

    fn name(&mut self) -> Result<&'a str, XmlError> {
        if !self.rest().starts_with(is_name_start) {
            return Err(self.error("expected a name"));
        }
        Ok(self.while_(is_name_char))
    }

    /// Comments and processing instructions; says whether there was one.
    fn skip_one_misc(&mut self) -> Result<bool, XmlError> {
        if self.take("<!--") {
            let comment = self.until("-->", "a comment without an end")?;
            if comment.contains("--") || comment.ends_with('-') {
                return Err(self.error("-- inside a comment"));
            }
        } else if self.rest().starts_with("<!DOCTYPE") {
            return Err(self.error("document types are not accepted"));
        } else if self.rest().starts_with("<?xml ") {
            return Err(self.error("an XML declaration that is not at the beginning"));
        } else if self.take("<?") {
            self.until("?>", "a processing instruction without an end")?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn skip_misc(&mut self) -> Result<(), XmlError> {
        loop {
            self.while_(is_space);
            if !self.skip_one_misc()? {
                return Ok(());
            }
        }
    }

    fn element(&mut self, depth: usize) -> Result<Element, XmlError> {
        self.expect("<")?;
        if depth == DEPTH_MAX {
            return Err(self.error(format!("elements nested more than {DEPTH_MAX} deep")));
        }
        let name = self.name()?.to_owned();
        let mut element = Element { name, attributes: Vec::new(), children: Vec::new(), text: String::new() };
        loop {
            let spaced = !self.while_(is_space).is_empty();
            if self.take("/>") {
                return Ok(element);
            }
            if self.take(">") {
                break;
            }
            if !spaced {
                return Err(self.error("expected white space between attributes"));
            }
            let (name, value) = self.attribute()?;
            if element.attribute(&name).is_some() {
                return Err(self.error(format!("attribute {name:?} given twice")));
            }
            element.attributes.push((name, value));
        }
        self.content(&mut element, depth)?;
        let closing = self.name()?;
        if closing != element.name {
            return Err(self.error(format!("<{}> is closed by </{closing}>", element.name)));
        }
        self.while_(is_space);
        self.expect(">")?;
        Ok(element)
    }

    /// Everything between the tags; ends behind the `</` of the closing one.
    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), XmlError> {
        loop {
            let text = self.while_(|c| c != '<');
            if text.contains("]]>") {
                return Err(self.error("]]> in text"));
            }
            let text = self.resolved(text)?;
            element.text.push_str(&text);
            if self.take("</") {
                return Ok(());
            }
            if self.take("<![CDATA[") {
                element.text.push_str(self.until("]]>", "CDATA without an end")?);
            } else if self.rest().is_empty() {
                return Err(self.error(format!("<{}> is never closed", element.name)));
            } else if !self.skip_one_misc()? {
                element.children.push(self.element(depth + 1)?);
            }
        }
    }

    fn attribute(&mut self) -> Result<(String, String), XmlError> {
        let name = self.name()?.to_owned();
        self.while_(is_space);
        self.expect("=")?;
        self.while_(is_space);
        let quote = if self.take("\"") {
            "\""
        } else {
            self.expect("'")?;
            "'"
        };
        let raw = self.until(quote, "an attribute value without an end")?;
        if raw.contains('<') {
            return Err(self.error("< in an attribute value"));
        }
        let plain: String = raw.chars().map(|c| if is_space(c) { ' ' } else { c }).collect();
        Ok((name, self.resolved(&plain)?))
    }

    fn resolved(&self, text: &str) -> Result<String, XmlError> {
        let mut parts = text.split('&');
        let mut resolved = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((reference, rest)) = part.split_once(';') else {
                return Err(self.error("an & that begins no reference"));
            };
            let referred = match reference {
                "lt" => Some('<'),
                "gt" => Some('>'),
                "amp" => Some('&'),
                "apos" => Some('\''),
                "quot" => Some('"'),
                _ => character_reference(reference),
            };
            resolved.push(referred.ok_or_else(|| self.error(format!("unknown reference &{reference};")))?);
            resolved.push_str(rest);
        }
        Ok(resolved)
    }
}

fn character_reference(reference: &str) -> Option<char> {
    let number = reference.strip_prefix('#')?;
    let code = match number.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?).filter(|c| is_xml_char(*c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_are_read() {
        let document = "\u{FEFF}<?xml version=\"1.0\"?>\n<!-- hi --><Response a='1' b = \"x&#10;y &lt;&amp;&#x41;&quot;\">\
                        one<Say/>two<![CDATA[ <3 ]]><?pi?><Gather><Say>in&apos;side</Say></Gather > </Response>\n<!---->";
        let root = parse(document).unwrap();
        assert_eq!(root.name, "Response");
        assert_eq!((root.attribute("a"), root.attribute("b")), (Some("1"), Some("x\ny <&A\"")));
        assert_eq!(root.text, "onetwo <3  ");
        assert_eq!(
            root.children.iter().map(|child| child.name.as_str()).collect::<Vec<_>>(),
            ["Say", "Gather"]
        );
        assert_eq!(root.children[1].children[0].text, "in'side");
    }

    #[test]
    fn what_is_not_well_formed_is_refused_with_its_line() {
        for (document, words) in [
            ("", "line 1: expected \"<\""),
            ("hello", "expected \"<\""),
            ("<a>", "<a> is never closed"),
            ("<a>\n<b></a>", "line 2: <b> is closed by </a>"),
            ("<a></a><b/>", "content after the root element"),
            ("<a b=1/>", "expected \"'\""),
            ("<a b='1'c='2'/>", "white space between attributes"),
            ("<a b='1' b='2'/>", "given twice"),
            ("<a b='<'/>", "< in an attribute value"),
            ("<a b='1/>", "without an end"),
            ("<a>fish & chips</a>", "begins no reference"),
            ("<a>&nbsp;</a>", "unknown reference &nbsp;"),
            ("<a>&#0;</a>", "unknown reference &#0;"),
            ("<a>\u{1}</a>", "does not allow"),
            ("<!DOCTYPE a><a/>", "document types"),
            (" <?xml version='1.0'?><a/>", "not at the beginning"),
            ("<a><!-- a -- b --></a>", "-- inside a comment"),
            ("<a>]]></a>", "]]> in text"),
            ("<1a/>", "expected a name"),
            ("<a><![CDATA[x</a>", "CDATA without an end"),
        ] {
            let error = parse(document).unwrap_err().to_string();
            assert!(error.contains(words), "{document:?} says {error:?}");
        }
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        assert!(parse(&deep).unwrap_err().to_string().contains("nested"));
    }
}
