// The job card. Its code is `public/card.js`; this is compiled anew for each card, and each time one is sent.
import * as React from 'react';

const Card = window.longhaul.card(React);

export default <Card {...props} />;
