import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_from_scratch.data.curation import MaskPersonal, mask_emails, mask_ips, mask_phones
from llm_from_scratch.data.curation.personal import EMAIL, IP, PHONE

EMAILS = ["ada@example.org", "a.b+c_d%e@sub.mail-host.co.uk", "jörg@müller.de", "o'brien@x.ie", "x@xn--mller-kva.com",
          "A1@B2.MUSEUM", "_a_@x.io"]  # fmt: skip
NO_EMAILS = ["@ada", "ada@", "ada@home", "a @ b.org", "price @ 3.50", "me@192.168.0.1 is a host", "user@v1.2", "@x.org",
             "decorators: @app.route", "x@y..org"]  # fmt: skip
IPS = ["192.0.2.146", "8.8.8.8", "255.255.255.255", "010.001.000.007", "2001:db8::7", "::1", "fe80::1ff:fe23:4567:890a",
       "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "::ffff:192.0.2.1", "1::", "2001:db8::22"]  # fmt: skip
NO_IPS = ["1.2.3", "256.1.1.1", "1.2.3.4.5", "version 1.2.3.4", "v1.2.3.4", "Release: 10.0.0.1", "Chrome/9.0.1.2",
          "12:30:45", "00:1A:2B:3C:4D:5E", "std::vector", "a::b", "::", "1:2:3:4:5:6:7:8:9", "x1.2.3.4", "1.2.3.4567",
          "section 1.2.3.4", "Version=4.0.0.0", "versions 1.2.3.4", "1.2.3.4-beta", "1.234.123.123,50",
          "00:1A:2B:3C:4D:5E:6F:70", "words[::2]", "row[1::2]", "rows[0, ::3]", "x[i][::1]", "a_1.2.3.4"]  # fmt: skip
PHONES = ["2831823829", "(283)-182-3829", "(283) 182 3829", "283-182-3829", "283.182.3829", "1-283-182-3829",
          "1 (283) 182-3829", "+1 283 182 3829", "+1-283-182-3829", "+49 30 1234567", "+4930123456789",
          "+44 (0)20 7946 0958", "+33 1 23 45 67 89", "0049 30 1234567", "01 23 45 67 89", "030/12345678",
          "0171-12345678", "(020) 7946 0958", "+91 98765 43210", "+86 138 0013 8000", "283-182-3829 ext. 12",
          "+7 (495) 123-45-67", "+852 2345 6789", "06.12.34.56.78", "030/123 45 67", "011 44 20 7946 0958",
          "283\u2011182\u20113829", "(283)\u00a0182\u20133829",
          "+33\u00a01\u202f23\u202f45\u202f67\u202f89"]  # fmt: skip
NO_PHONES = ["2023-11-28", "28.11.2023", "01.02.2003 12:30", "1,299.00", "$2831823829", "€ 1 299 000", "3.14159265358",
             "0.1234567890", "ISBN 978-0-306-40615-7", "ISBN 2831823829", "ISBN-13: 978-0-306-40615-7",
             "0-306-40615-2", "9780306406157", "1700000000", "4111 1111 1111 1111", "2500000000", "1939-1945",
             "283.182.3829.1", "version 2.0.1", "10.1000/182", "12345-6789", "id=2831823829", "/2831823829",
             "2831823829%", "192.168.100.200", "1 000 000 000", "555-0143", "0x2831823829", "01-02-2023 10",
             "01/02/2023 10:00", "01/02/2023 10:00:15", "01 02 2023 10:30", "08-00-27-12-34-56", "00-11-22-33-44-55",
             "0000-0002-1825-0097", "Boston, MA 02138-1234", "03 11 19 24 37 42", "+10 000 000", "arXiv:2306.01116",
             "1910.10683v3", "01 02 2023 10", "No. 2831823829", "id_2831823829", "2831823829,50"]  # fmt: skip
KINDS = {
    "emails": (mask_emails, EMAIL, EMAILS, NO_EMAILS),
    "ips": (mask_ips, IP, IPS, NO_IPS),
    "phones": (mask_phones, PHONE, PHONES, NO_PHONES),
}
FRAMES = ["{}", "Contact: {}.", "({})", "<{}>", '"{}"', "{}, or not", "see\n{}\nthere", "{}!"]


@pytest.mark.parametrize(("kind", "found"), [(kind, one) for kind in KINDS for one in KINDS[kind][2]])
def test_it_is_masked_whatever_stands_around(kind, found):
    mask, placeholder, *_ = KINDS[kind]
    for frame in FRAMES:
        assert mask(frame.format(found)) == (frame.format(placeholder), 1), frame


@pytest.mark.parametrize(("kind", "other"), [(kind, one) for kind in KINDS for one in KINDS[kind][3]])
def test_what_only_looks_like_it_stays(kind, other):
    mask = KINDS[kind][0]
    for frame in FRAMES:
        assert mask(frame.format(other)) == (frame.format(other), 0), frame


def test_several_are_counted():
    text = "Feel free to contact me at test@gmail.com or test2@gmail.com. Thank you!"
    assert mask_emails(text) == (f"Feel free to contact me at {EMAIL} or {EMAIL}. Thank you!", 2)
    assert mask_ips("192.0.2.146, 8.8.8.8 and ::1") == (f"{IP}, {IP} and {IP}", 3)
    assert mask_phones("283-182-3829 283-182-3829, 2831823829") == (f"{PHONE} {PHONE}, {PHONE}", 3)


def test_signs_around_that_people_type():
    """Emphasis, fields of a table, ranges, headers."""
    for mask, placeholder, one, other in (
        (mask_emails, EMAIL, "ada@example.org", "b@c.io"),
        (mask_ips, IP, "192.0.2.146", "10.0.0.1"),
        (mask_phones, PHONE, "283-182-3829", "555-123-4567"),
    ):
        for frame in ("_{}_", "*{}*", "__{}__", "7,{},200", "{},{}", "{};{}", "{}/{}"):
            masked, count = mask(frame.format(one, other))
            assert count == masked.count(placeholder) == frame.count("{}"), frame
            assert one not in masked and other not in masked
    assert mask_ips("from 10.0.0.1-10.0.0.99")[0] == f"from {IP}-{IP}"
    assert mask_ips("12:192.0.2.146 - - GET")[0] == f"12:{IP} - - GET"
    assert mask_ips("[IPv6:2001:db8::7], Source:2001:db8::8")[0] == f"[IPv6:{IP}], Source:{IP}"
    assert mask_phones("Phone No. 283-182-3829, Tel No: 030-1234567")[0] == f"Phone No. {PHONE}, Tel No: {PHONE}"


def test_placeholders_may_be_others():
    assert mask_emails("ada@x.org", "<\\1>") == ("<\\1>", 1)
    assert mask_phones("2831823829", r"\g<0>") == (r"\g<0>", 1)
    assert MaskPersonal(email="<email>", ip="", phone="[]")("ada@x.org 8.8.8.8, 2831823829") == "<email> 8.8.8.8, []"


PIECES = [
    *EMAILS,
    *NO_EMAILS,
    *IPS,
    *NO_IPS,
    *PHONES,
    *NO_PHONES,
    "@",
    ".",
    ":",
    "-",
    " ",
    "\n",
    "1",
    "+",
    "x",
    "夜",
    "(",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join) | st.text(alphabet="1a.:@-+ ()0\n夜", max_size=40))
@settings(max_examples=400)
def test_masking_leaves_nothing_to_mask(text):
    masked = MaskPersonal()(text)
    assert MaskPersonal()(masked) == masked
    assert masked.count("\n") <= text.count("\n")
    for mask, *_ in KINDS.values():
        once, count = mask(text)
        assert (count > 0) == (once != text)
        assert mask(once) == (once, 0)


@pytest.mark.parametrize(
    "piece", ["a", "a.", "a@", "1", "1 ", "12-", "a:", "1.", "+1", "(", ".", "@a.", "v ", "::", "01 ", "_1", "1-"]
)
def test_one_enormous_line_takes_bounded_time(piece):
    text = piece * (500_000 // len(piece))
    assert isinstance(MaskPersonal()(text), str) and isinstance(MaskPersonal()("@" + text + "1"), str)


@pytest.mark.parametrize("wrong", ["email", "a@b", "<a1@b>", "x ", "+1"])
def test_placeholders_that_could_be_masked_themselves_are_refused(wrong):
    with pytest.raises(ValueError, match="could be taken for an address"):
        MaskPersonal(email=wrong)


@pytest.mark.parametrize("wrong", [None, 3, b"x"])
def test_wrong_types_are_refused(wrong):
    with pytest.raises(TypeError, match="expected a placeholder"):
        MaskPersonal(phone=wrong)
    for function in (mask_emails, mask_ips, mask_phones, MaskPersonal(), MaskPersonal("", "", "")):
        with pytest.raises(TypeError, match="works on a text"):
            function(wrong)
