"""The page on which people log in whose client knows none of the server's ways to.

It asks for name and password, calls `POST /login` with whatever the client put into the query, and hands the answer to
`window.matrixLogin.onLogin`.
Spec: https://spec.matrix.org/v1.19/client-server-api/#login-fallback
"""

from __future__ import annotations

import base64
import hashlib

from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.responses import HTML_POLICY, HtmlResponse

_SCRIPT = """
const form = document.querySelector("form");
const error = document.querySelector(".error");
form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.textContent = "";
    const body = {
        type: "m.login.password",
        identifier: { type: "m.id.user", user: form.elements.user.value },
        password: form.elements.password.value,
    };
    for (const [name, value] of new URLSearchParams(window.location.search)) {
        if (name === "device_id" || name === "initial_device_display_name") body[name] = value;
        if (name === "refresh_token") body[name] = value === "true";
    }
    const response = await fetch("/_matrix/client/v3/login", { method: "POST", body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) {
        error.textContent = answer.error || "Something went wrong.";
    } else if (window.matrixLogin && window.matrixLogin.onLogin) {
        window.matrixLogin.onLogin(answer);
    } else {
        error.textContent = "You are logged in, but no app is waiting for it.";
    }
});
"""

_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Log in</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 10vh auto; padding: 0 1rem; color: #222; }}
label, input {{ display: block; width: 100%; box-sizing: border-box; }}
input {{ font: inherit; padding: .5rem; margin-bottom: 1rem; }}
button {{ font: inherit; padding: .5rem 1.5rem; }}
.error {{ color: #b00020; }}
</style>
</head>
<body>
<p class="error" role="alert"></p>
<form>
<label>Username <input name="user" required autocomplete="username"></label>
<label>Password <input name="password" type="password" required autocomplete="current-password"></label>
<button type="submit">Log in</button>
</form>
<script>{_SCRIPT}</script>
</body>
</html>
"""

_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = f"{HTML_POLICY}; script-src 'sha256-{_HASH}'; connect-src 'self'"


class LoginPageEndpoints:
    """The login page."""

    @endpoint(
        "GET",
        "/_matrix/static/client/login/",
        auth=Auth.NONE,
        rate_limit=RateLimit("login_page", by_address=True),
        aliases=("/_matrix/static/client/login",),
    )
    def show_login_page(self) -> HtmlResponse:
        """The page that performs a login.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#login-fallback
        """
        return HtmlResponse(_PAGE, policy=_POLICY)
