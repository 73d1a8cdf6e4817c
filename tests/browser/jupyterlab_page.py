"""A JupyterLab in a browser, asked through its own application and moved by a real mouse."""

from pathlib import Path

from selenium.common.exceptions import JavascriptException
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from waiting import until

PANEL = "Array.from(window.jupyterapp.shell.widgets('main')).find(w => w.isVisible)"
CELLS = f"""
    const words = o => [o.text || '', o.ename || '', o.evalue || ''].flat().join('');
    return Array.from({PANEL}.content.model.cells).filter(c => c.type == 'code').map(c => {{
        const outputs = c.outputs.toJSON();
        return {{count: c.executionCount, source: c.sharedModel.source,
                text: outputs.map(words).join('\\n'),
                failed: outputs.some(o => o.output_type == 'error')}};
    }});
"""
SHOW = f"""
    const content = {PANEL}.content;
    const holds = c => c.type == 'code' && c.sharedModel.source.includes(arguments[0]);
    const place = Array.from(content.model.cells).findIndex(holds);
    content.activeCellIndex = place;
    return content.scrollToItem(place, 'start').then(() => place);
"""
PIXELS = """
    const done = arguments[1];
    fetch(arguments[0].src).then(r => r.arrayBuffer()).then(b => done(new Uint8Array(b).join()));
"""


class Lab:
    """The application behind the page that a server has its user's browser open. It is started with
    `--expose-app-in-browser`."""

    def __init__(self, browser: Chrome, page: Path):
        self.browser = browser
        browser.get(page.as_uri())
        until(lambda: self.ask("return !!window.jupyterapp"), "JupyterLab in the browser")
        until(lambda: self.path(), "a notebook in front")

    def ask(self, script: str, *arguments: object) -> object:
        """What the script returns; None while the page or the notebook is not that far."""
        try:
            return self.browser.execute_script(script, *arguments)
        except JavascriptException:
            return None

    def start(self, command: str, **arguments: str) -> None:
        """Starts a command of JupyterLab's menus, on the notebook in front, and does not wait."""
        script = f"""
            window.jupyterapp.shell.activateById({PANEL}.id);
            window.jupyterapp.commands.execute(arguments[0], arguments[1]);
        """
        self.browser.execute_script(script, command, arguments)

    def path(self) -> str:
        """Of the notebook in front."""
        return self.ask(f"return {PANEL}.context.path") or ""

    def open(self, path: str) -> None:
        self.start("docmanager:open", path=path)
        until(lambda: self.path() == path, f"{path} in front")
        self.wait_for_kernel()

    def wait_for_kernel(self, seconds: float = 60) -> None:
        ask = f"return {PANEL}.sessionContext.session.kernel.status"
        until(lambda: self.ask(ask) == "idle", "a kernel that is idle", seconds)

    def cells(self) -> list[dict]:
        """Count, source, text and failure of each code cell."""
        return self.ask(CELLS) or []

    def cell(self, words: str) -> dict:
        """The code cell with these words."""
        return next(cell for cell in self.cells() if words in cell["source"])

    def run_all(self, seconds: float) -> list[dict]:
        """The code cells, all of them run, none in vain."""
        self.start("notebook:run-all-cells")
        until(lambda: _over(self.cells()), "the last cell", seconds)
        assert [cell for cell in self.cells() if cell["failed"]] == []
        self.wait_for_kernel()
        return self.cells()

    def find(self, words: str, selector: str) -> list:
        """What the cell with these words shows that fits the CSS selector, scrolled to."""
        self.ask(SHOW, words)
        place = f".jp-NotebookPanel:not(.lm-mod-hidden) .jp-mod-active {selector}"
        until(lambda: self.browser.find_elements(By.CSS_SELECTOR, place), f"{selector} on the page")
        return self.browser.find_elements(By.CSS_SELECTOR, place)

    def drag(self, handle, right: int) -> None:
        """Pulls something to the right by that many pixels."""
        mouse = ActionChains(self.browser).scroll_to_element(handle).click_and_hold(handle)
        mouse.move_by_offset(right, 0).release().perform()

    def click(self, button) -> None:
        ActionChains(self.browser).scroll_to_element(button).click(button).perform()

    def pixels(self, image) -> str:
        """The bytes behind an image of the page."""
        return self.browser.execute_async_script(PIXELS, image)


def _over(cells: list[dict]) -> bool:
    return any(cell["failed"] for cell in cells) or all(cell["count"] for cell in cells)
