//! What a registry is shown: credentials, or the token that they are exchanged for.

use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Response, Url};
use serde::Deserialize;

use super::{Http, SMALL, Target, bounded, lock};
use crate::place::PlaceError;
use crate::remote::auth::{Challenge, Credentials, basic};

/// How long a token is used whose service does not say it, and how much earlier any is renewed.
const TOKEN_LIFE: u64 = 60;
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct Token {
    header: HeaderValue,
    until: Option<Instant>,
}

impl Http {
    pub(super) fn token(&self, target: &Target) -> Option<HeaderValue> {
        if let Credentials::Bearer(token) = self.options.keyring.get(&target.registry) {
            return secret(&format!("Bearer {token}"));
        }
        let token = lock(&self.tokens).get(&target.key()).cloned()?;
        token
            .until
            .is_none_or(|until| Instant::now() < until)
            .then_some(token.header)
    }

    /// Does what a challenge asks for; false if there is nothing more to show.
    pub(super) async fn authorize(
        &self,
        target: &Target,
        answer: &Response,
    ) -> Result<bool, PlaceError> {
        let challenges: Vec<Challenge> = answer
            .headers()
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|header| Challenge::parse(header.to_str().ok()?))
            .collect();
        let credentials = self.options.keyring.get(&target.registry);
        let token = match (challenges.first(), credentials) {
            (_, Credentials::Bearer(_)) | (None, _) => return Ok(false),
            (Some(Challenge::Basic), Credentials::Basic { username, password }) => {
                secret(&basic(username, password)).map(|header| Token {
                    header,
                    until: None,
                })
            }
            (Some(Challenge::Basic), _) => None,
            (
                Some(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                }),
                _,
            ) => {
                let wanted = target.action.scope(target.repository.as_ref());
                // What the registry asks for may be more than one scope, such as that of a mount's source.
                let scope = scope.as_ref().filter(|text| text.contains(&wanted));
                let scope = scope.unwrap_or(&wanted);
                Some(
                    self.fetch_token(target, realm, service.as_deref(), scope)
                        .await?,
                )
            }
        };
        let Some(token) = token else {
            return Ok(false);
        };
        lock(&self.tokens).insert(target.key(), token);
        Ok(true)
    }

    async fn fetch_token(
        &self,
        target: &Target,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Token, PlaceError> {
        let unfit = || {
            PlaceError::Unfit(format!(
                "{} sends for a token to {realm:?}",
                target.registry
            ))
        };
        let mut url = Url::parse(realm).map_err(|_error| unfit())?;
        let base = self.base(target).await?;
        if url.scheme() != "https" && !(url.scheme() == "http" && base.scheme() == "http") {
            return Err(unfit());
        }
        self.check_reach(target, &url).await?;
        let reading = &self.clients(target.host()).await.reading;
        let request = match self.options.keyring.get(&target.registry) {
            Credentials::Refresh(token) => {
                let form = url::form(&[
                    ("grant_type", "refresh_token"),
                    ("service", service.unwrap_or_default()),
                    ("client_id", "mosaic"),
                    ("scope", scope),
                    ("refresh_token", token),
                ]);
                reading
                    .post(url)
                    .header(
                        http::header::CONTENT_TYPE,
                        "application/x-www-form-urlencoded",
                    )
                    .body(form)
            }
            credentials => {
                url.query_pairs_mut().append_pair("scope", scope);
                if let Some(service) = service {
                    url.query_pairs_mut().append_pair("service", service);
                }
                let request = reading.get(url);
                match credentials {
                    Credentials::Basic { username, password } => {
                        request.header(AUTHORIZATION, basic(username, password))
                    }
                    _ => request,
                }
            }
        };
        let answer = request
            .send()
            .await
            .map_err(|error| target.unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(target.refused(answer).await);
        }
        let bytes = bounded(target, answer, SMALL).await?;
        let answer: TokenAnswer = serde_json::from_slice(&bytes).map_err(|_error| unfit())?;
        let token = answer.token.or(answer.access_token).ok_or_else(unfit)?;
        let life = Duration::from_secs(answer.expires_in.unwrap_or(TOKEN_LIFE).clamp(1, 86_400));
        Ok(Token {
            header: secret(&format!("Bearer {token}")).ok_or_else(unfit)?,
            until: Some(Instant::now() + life.saturating_sub(TOKEN_MARGIN).max(life / 2)),
        })
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

mod url {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

    /// A form's body.
    pub(super) fn form(fields: &[(&str, &str)]) -> String {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let fields: Vec<String> = fields
            .iter()
            .map(|(key, value)| format!("{}={}", encode(key), encode(value)))
            .collect();
        fields.join("&")
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
