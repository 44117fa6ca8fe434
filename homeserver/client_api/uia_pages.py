"""The pages on which people pass a stage in their browser."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import urlsplit

from jinja2 import Environment

from homeserver.http.responses import HTML_POLICY, HtmlResponse
from homeserver.users.fallback import Form

_DONE_SCRIPT = """
if (window.onAuthDone) {
    window.onAuthDone();
} else if (window.opener && window.opener.postMessage) {
    window.opener.postMessage("authDone", "*");
}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Authentication</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 10vh auto; padding: 0 1rem; color:
#222; } label, input { display: block; width: 100%; box-sizing: border-box; } input { font: inherit; padding:
.5rem; margin-bottom: 1rem; } button { font: inherit; padding: .5rem 1.5rem; } .error { color: #b00020; }
</style> {% if form and form.script_url %}<script src="{{ form.script_url }}" async defer></script>{% endif %}
</head> <body> {% if form %} {% if error %}<p class="error">{{ error }}</p>{% endif %} <p>{{ form.text }}</p>
{% if form.links %}<ul> {% for label, url in form.links %}<li><a href="{{ url }}" target="_blank"
rel="noopener noreferrer">{{ label }}</a></li> {% endfor %}</ul>{% endif %} <form method="post"> <input
type="hidden" name="session" value="{{ session_id }}"> {% for field in form.fields %}<label>{{ field.label }}
<input name="{{ field.name }}" type="{{ field.type }}" required autocomplete="off"></label> {% endfor %} {% if
form.widget_class %}<div class="{{ form.widget_class }}" data-sitekey="{{ form.widget_key }}"></div>{% endif
%} <button type="submit">{{ form.button }}</button> </form> {% else %} <p>Thank you. You may close this window
and go back to the app.</p> <script>{{ script }}</script> {% endif %} </body> </html>
"""

_template = Environment(autoescape=True).from_string(_PAGE)
_done_hash = base64.b64encode(hashlib.sha256(_DONE_SCRIPT.encode()).digest()).decode()
_DONE_POLICY = f"{HTML_POLICY}; script-src 'sha256-{_done_hash}'"


def form_page(form: Form, session_id: str, *, error: str | None = None) -> HtmlResponse:
    """The page with a stage's form, and what was wrong with the last attempt."""
    html = _template.render(form=form, session_id=session_id, error=error)
    policy = HTML_POLICY
    if form.script_url is not None:
        # A captcha loads more from where its script came from.
        origin = "https://" + urlsplit(form.script_url).netloc
        sources = f"{origin} https://www.gstatic.com"
        policy += f"; script-src {sources}; frame-src {origin}; connect-src {origin}"
    return HtmlResponse(html, policy=policy)


def done_page() -> HtmlResponse:
    """The page that tells the client that the stage is passed."""
    from_markup = _template.render(form=None, script=_Safe(_DONE_SCRIPT))
    return HtmlResponse(from_markup, policy=_DONE_POLICY)


class _Safe(str):
    """Text that is markup already: our own script."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)
