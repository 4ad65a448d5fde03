"""Proof of work: what solves it, for whom, and how often."""

from ghostlive.chat.work import BITS, MOST_BITS, VALID_FOR, Challenge, Seeker, Work, solve, solves

ANN = Seeker("demo", "ann", "net")


def test_an_answer_counts_once_for_whom_and_where_it_was_asked() -> None:
    work = Work(b"s" * 32, bits=4)
    challenge = work.challenge(ANN, 1000.0)
    answer = solve(challenge)
    assert solves(challenge.nonce, answer, challenge.bits)
    for other in (ANN._replace(who="bob"), ANN._replace(room="other")):
        assert not work.check(other, challenge.nonce, answer, 1001.0)
    assert not Work(b"t" * 32, bits=4).check(ANN, challenge.nonce, answer, 1001.0)
    assert work.check(ANN, challenge.nonce, answer, 1001.0)
    assert not work.check(ANN, challenge.nonce, answer, 1001.0)


def test_wrong_late_and_senseless_answers() -> None:
    work = Work(b"s" * 32, bits=12)
    challenge = work.challenge(ANN, 1000.0)
    answer = solve(challenge)
    wrong = next(str(number) for number in range(1000) if not solves(challenge.nonce, str(number), 12))
    assert not work.check(ANN, challenge.nonce, wrong, 1001.0)
    assert not work.check(ANN, challenge.nonce, answer, 1001.0 + VALID_FOR)
    head, bits, *rest = challenge.nonce.split(".")
    cheaper = ".".join([head, "0", *rest])
    assert int(bits) == 12
    for nonce in ("", "x", "....", cheaper, challenge.nonce + "x", "\ud800", "é.é"):
        assert not work.check(ANN, nonce, answer, 1001.0)
    assert not work.check(ANN, challenge.nonce, "1" * 33, 1001.0)
    assert work.check(ANN, challenge.nonce, answer, 1001.0)


def test_who_comes_often_computes_for_longer() -> None:
    work = Work(b"s" * 32, bits=1)
    bits = []
    for number in range(40):
        seeker = ANN._replace(who=f"browser {number}")
        challenge = work.challenge(seeker, 1000.0)
        bits.append(challenge.bits)
        assert work.check(seeker, challenge.nonce, solve(challenge), 1000.0)
    assert bits == sorted(bits)
    assert bits[0] == bits[3] == 1
    assert bits[-1] > 3
    assert work.challenge(ANN._replace(network="elsewhere"), 1000.0).bits == 1
    assert work.challenge(ANN, 2000.0).bits == 1
    assert BITS < MOST_BITS


def test_the_page_and_the_server_mean_the_same() -> None:
    # As `frontend/src/chat` computes it: SHA-256 of the nonce followed by the answer.
    assert not solves("abc", "1", 1)  # the digest of `abc1` begins with db
    assert solves("nonce", solve(Challenge("nonce", 9)), 9)
