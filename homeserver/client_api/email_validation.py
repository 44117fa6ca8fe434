"""Asking for a message that proves an address, and the page that its link opens.

Spec: https://spec.matrix.org/v1.19/client-server-api/#email-based-identity--homeserver
"""

from __future__ import annotations

import msgspec

from homeserver.client_api.oauth import form
from homeserver.client_api.pages import bare_page, redirect
from homeserver.errors import Forbidden, InvalidParam, MatrixError
from homeserver.http.endpoint import Auth, RateLimit, endpoint
from homeserver.http.request import Request
from homeserver.http.responses import HtmlResponse, Response
from homeserver.users.mail.validation import SUBMIT, AddressValidation, Purpose, TokenRequest
from homeserver.users.phone_numbers import canonical_number

_LIMIT = RateLimit("3pid_validation", by_address=True)
_V3 = "/_matrix/client/v3"


class MediumNotSupported(MatrixError):
    errcode = "M_THREEPID_MEDIUM_NOT_SUPPORTED"


class RequestEmailToken(msgspec.Struct):
    """An address that somebody says is theirs."""

    client_secret: str
    email: str
    send_attempt: int
    next_link: str | None = None

    def request(self) -> TokenRequest:
        return TokenRequest(self.email, self.client_secret, self.send_attempt, self.next_link)


class RequestPhoneToken(msgspec.Struct):
    """A number that somebody says is theirs."""

    client_secret: str
    country: str
    phone_number: str
    send_attempt: int
    next_link: str | None = None

    def request(self) -> TokenRequest:
        """
        Raises:
            InvalidParam: it is no number.
        """
        number = canonical_number(self.phone_number, self.country)
        if number is None:
            raise InvalidParam("this is not a telephone number")
        return TokenRequest(number, self.client_secret, self.send_attempt, self.next_link)


class MailedLink(msgspec.Struct):
    """What the link in a mail carries."""

    sid: str
    token: str


class EmailValidationEndpoints:
    """Messages, and their links; `mails` or `phones` is None where none is sent there."""

    def __init__(
        self, mails: AddressValidation | None, phones: AddressValidation | None, *, may_add: bool
    ) -> None:
        self._mails = mails
        self._phones = phones
        self._may_add = may_add

    @endpoint("POST", f"{_V3}/register/email/requestToken", auth=Auth.NONE, rate_limit=_LIMIT)
    async def request_token_to_register_email(self, body: RequestEmailToken) -> dict[str, str]:
        """Mail a link, for a registration.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registeremailrequesttoken
        """
        return await self._begin(Purpose.REGISTRATION, body)

    @endpoint("POST", f"{_V3}/account/password/email/requestToken", auth=Auth.NONE, rate_limit=_LIMIT)
    async def request_token_to_reset_password_email(self, body: RequestEmailToken) -> dict[str, str]:
        """Mail a link, for another password.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken
        """
        return await self._begin(Purpose.PASSWORD_RESET, body)

    @endpoint("POST", f"{_V3}/account/3pid/email/requestToken", auth=Auth.NONE, rate_limit=_LIMIT)
    async def request_token_to_3pid_email(self, body: RequestEmailToken) -> dict[str, str]:
        """Mail a link, for one more address of an account.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidemailrequesttoken
        """
        if not self._may_add:
            raise Forbidden("addresses cannot be changed on this server")
        return await self._begin(Purpose.ADDITION, body)

    @endpoint("POST", f"{_V3}/register/msisdn/requestToken", auth=Auth.NONE, rate_limit=_LIMIT)
    async def request_token_to_register_msisdn(self, body: RequestPhoneToken) -> dict[str, str]:
        """Send a link to a telephone, for a registration.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3registermsisdnrequesttoken
        """
        return await self._text(Purpose.REGISTRATION, body)

    @endpoint("POST", f"{_V3}/account/password/msisdn/requestToken", auth=Auth.NONE, rate_limit=_LIMIT)
    async def request_token_to_reset_password_msisdn(self, body: RequestPhoneToken) -> dict[str, str]:
        """Send a link to a telephone, for another password.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken
        """
        return await self._text(Purpose.PASSWORD_RESET, body)

    @endpoint("POST", f"{_V3}/account/3pid/msisdn/requestToken", auth=Auth.NONE, rate_limit=_LIMIT)
    async def request_token_to_3pid_msisdn(self, body: RequestPhoneToken) -> dict[str, str]:
        """Send a link to a telephone, for one more number of an account.

        Spec: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken
        """
        if not self._may_add:
            raise Forbidden("addresses cannot be changed on this server")
        return await self._text(Purpose.ADDITION, body)

    @endpoint("GET", SUBMIT, auth=Auth.NONE, rate_limit=RateLimit("email_link", by_address=True))
    def show_email_link(self, query: MailedLink) -> HtmlResponse:
        """The page that a mail's link opens.

        It has a button, for programs open links too: those that look for viruses, and those that preview.
        """
        return bare_page("confirm_email.html", path=SUBMIT, sid=query.sid, token=query.token)

    @endpoint("POST", SUBMIT, auth=Auth.NONE, rate_limit=RateLimit("email_link", by_address=True))
    async def submit_email_link(self, request: Request) -> HtmlResponse | Response:
        """The button of that page."""
        given = form(request)
        try:
            sessions = self._mails or self._phones
            if sessions is None:
                raise MediumNotSupported("this server sends no messages")
            next_link = await sessions.submit(given.get("sid", ""), given.get("token", ""))
        except MatrixError as error:
            return bare_page("message.html", heading="This did not work", text=error.error)
        if next_link is not None:
            return redirect(next_link)
        text = "Your address is confirmed. You may close this page and go on in your app."
        return bare_page("message.html", heading="Thank you", text=text)

    async def _begin(self, purpose: Purpose, body: RequestEmailToken) -> dict[str, str]:
        if self._mails is None:
            raise MediumNotSupported("this server sends no mail")
        return {"sid": await self._mails.begin(purpose, body.request())}

    async def _text(self, purpose: Purpose, body: RequestPhoneToken) -> dict[str, str]:
        if self._phones is None:
            raise MediumNotSupported("phone numbers cannot be confirmed on this server")
        return {"sid": await self._phones.begin(purpose, body.request())}
