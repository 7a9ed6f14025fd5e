//! Cookies, as an ordinary client keeps them for the length of a call.
//!
//! Knows hosts, names and values; paths and dates do not matter to a call of minutes.

#[derive(Debug, Default)]
pub(crate) struct Cookies(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    host: String,
    name: String,
    value: String,
}

impl Cookies {
    /// Takes a `Set-Cookie` header; one that is over at once removes the cookie.
    pub(crate) fn set(&mut self, host: &str, header: &str) {
        let mut parts = header.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        self.0.retain(|cookie| cookie.host != host || cookie.name != name);
        let is_over = |part: &str| {
            let (key, age) = part.split_once('=').unwrap_or_default();
            key.eq_ignore_ascii_case("max-age") && age.parse().is_ok_and(|age: i64| age <= 0)
        };
        if !parts.any(is_over) {
            let [host, name, value] = [host, name, value].map(str::to_owned);
            self.0.push(Cookie { host, name, value });
        }
    }

    /// The `Cookie` header for a host, if it has any.
    pub(crate) fn header(&self, host: &str) -> Option<String> {
        let own = self.0.iter().filter(|cookie| cookie.host == host);
        let pairs: Vec<String> = own.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_come_back_to_their_host_until_they_are_taken_away() {
        let mut cookies = Cookies::default();
        assert_eq!(cookies.header("a"), None);
        for header in ["node=1; Path=/; HttpOnly", "lang=en", "node=2; Max-Age=60", "broken"] {
            cookies.set("a", header);
        }
        cookies.set("b", "node=9");
        assert_eq!(cookies.header("a").unwrap(), "lang=en; node=2");
        cookies.set("a", "lang=; max-age=0");
        assert_eq!(cookies.header("a").unwrap(), "node=2");
        assert_eq!(cookies.header("b").unwrap(), "node=9");
    }
}
