import { planName } from '../../domain/addon';
import { notFound } from '../../domain/errors';
import { describeLimits } from '../../platform/addons/catalogue';
import type { ApiServices } from '../services';
import type { DrawnPage } from './drawn-page';
import { html } from './html';

/** What there is to say about any add-on, for services that have no page of their own. No secrets. */
export function statusPage({ addons, apps }: Pick<ApiServices, 'addons' | 'apps'>): DrawnPage {
  return {
    show({ addon, path }) {
      if (path !== '/') throw notFound('page');
      const offer = addons.catalogue.find(addon);
      const limits = offer === undefined ? '' : describeLimits(offer.plan);
      const problem = addons.problem(addon);
      const serves =
        addons.hasBackend(addon) && addon.state === 'provisioned' ? addons.isServing(addon) : null;
      return html`
        <h1>${offer?.provider.humanName ?? addon.service}: ${addon.name}</h1>
        ${problem !== null && html`<p class="problem">It does not run just now: ${problem}.</p>`}
        <table>
          <tr>
            <th>Plan</th>
            <td>${planName(addon)}${limits !== '' && `, ${limits}`}</td>
          </tr>
          <tr>
            <th>App</th>
            <td>${addons.ownerOf(addon).name}</td>
          </tr>
          <tr>
            <th>State</th>
            <td>${addon.state}${serves !== null && (serves ? ', up' : ', starting')}</td>
          </tr>
          <tr>
            <th>Created</th>
            <td>${addon.createdAt.toISOString()}</td>
          </tr>
        </table>
        <h2>Attachments</h2>
        <table>
          <tr>
            <th>App</th>
            <th>Name</th>
            <th>Config vars</th>
          </tr>
          ${addons.attachments.ofAddOn(addon).map(
            (attachment) => html`
              <tr>
                <td>${apps.find(attachment.appId).name}</td>
                <td>${attachment.name}</td>
                <td>
                  ${addons.attachments.configVarNames(attachment).map((name) => html`<code>${name}</code> `)}
                </td>
              </tr>
            `,
          )}
        </table>
      `;
    },
  };
}
